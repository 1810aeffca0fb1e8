// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Takes the orders in, and runs the services until they have ended; then sees from the rows what became of them.
struct OrderRun: PremisesVisitor {
    let options: Options
    let file: OpenFile
    let bookkeeper: Bookkeeper
    let onProgress: @Sendable (Int, Int) -> Void

    /// What can be said about it at its end.
    struct Ending: Sendable {
        let outcome: Outcome
        /// The books of the services that ran here.
        let books: Books
    }

    func visit<DB: ShopDatabase, Bus: BacklogReportingTransport>(_ premises: Premises<DB, Bus>) async throws -> Ending {
        try await watched(premises, options, bookkeeper, telling: onProgress) { shop in
            let outcome = try await shop.run(file)
            let books = try await Persistence.run { _ in try await Books(of: premises.sites) }
            return Ending(outcome: outcome, books: books)
        }
    }

    func isEnd(_ result: Ending) -> Bool {
        !options.isPartOfRun && Audit(of: result.books, accepted: result.outcome.accepted).isClean
    }
}

/// Some of the services, beside a run or a tour.
struct MemberRun: PremisesVisitor {
    let options: Options

    func visit<DB: ShopDatabase, Bus: BacklogReportingTransport>(_ premises: Premises<DB, Bus>) async throws {
        do {
            try await watched(premises, options, Bookkeeper()) { shop in try await shop.runServices() }
        } catch let error as DatabaseError where error.code == .closed && options.relay == .log {
            // The run beside which this works has ended, and has taken its slots back.
        }
    }
}

/// Makes a shop that tells whoever kills it where it stands.
private func watched<DB: ShopDatabase, Bus: Transport, Result>(
    _ premises: Premises<DB, Bus>, _ options: Options, _ bookkeeper: Bookkeeper,
    telling onProgress: @escaping @Sendable (Int, Int) -> Void = { _, _ in },
    _ body: (Shop<DB, WatchedBus<Bus>>) async throws -> Result
) async throws -> Result {
    let points = CrashPoints.fromEnvironment()
    var instruments: [any Instrument] = [bookkeeper]
    if let points { instruments.append(points) }
    let shop = Shop(
        options: options, bookkeeper: bookkeeper,
        premises: Premises(
            bus: WatchedBus(inner: premises.bus, points: points, isFromLog: options.relay == .log),
            sites: premises.sites, relays: premises.relays, isLasting: premises.isLasting, run: premises.run
        ),
        crashPoints: points, onProgress: onProgress
    )
    return try await Runtime.$current.withValue(Runtime(instrument: InstrumentGroup(instruments))) {
        try await body(shop)
    }
}
