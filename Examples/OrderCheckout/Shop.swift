// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

/// What came out of a run.
struct Outcome: Sendable {
    /// How many orders were taken in, by this run and by those that it went on with.
    var accepted: Int
    var figures: Bookkeeper.Figures
    var orderOfInterest: String?
}

/// The services that this process runs, and the bus that joins them to each other and to those of other processes.
struct Shop<DB: ShopDatabase, Bus: Transport>: Sendable {
    let options: Options
    let bookkeeper: Bookkeeper
    let premises: Premises<DB, Bus>
    var crashPoints: CrashPoints?
    /// Told now and then how many orders were taken in and how many have ended.
    let onProgress: @Sendable (_ accepted: Int, _ ended: Int) -> Void

    /// Takes all orders of a file in, and waits until they have come to rest.
    ///
    /// - Throws: ``Interrupted`` if the services were asked to end before.
    func run(_ file: OpenFile) async throws -> Outcome {
        let desk = try desk
        let start = try await desk.position(in: file.name)
        return try await withThrowingTaskGroup(of: Outcome?.self) { group in
            for service in services {
                group.addTask {
                    try await service.run()
                    return nil
                }
            }
            group.addTask {
                let intake = desk.intake { [bookkeeper, onProgress] in onProgress($0, bookkeeper.current.ended) }
                let taken = try await intake.run(try file.take(), from: start)
                try await untilAtRest(accepted: taken.accepted, at: desk)
                return Outcome(
                    accepted: taken.accepted, figures: bookkeeper.current, orderOfInterest: taken.interest)
            }
            defer { group.cancelAll() }
            // A service ends first only if it has failed or the process was asked to end.
            guard let first = try await group.next(), let outcome = first else { throw Interrupted() }
            group.cancelAll()
            while let ended = await group.nextResult() {
                if case .failure(let error) = ended, !(error is CancellationError) { throw error }
            }
            return outcome
        }
    }

    /// Runs the services beside those of other processes, until cancelled or interrupted.
    func runServices() async throws {
        let watch = ParentWatch().map { [$0] as [any Service] } ?? []
        try await Services(watch + services).run()
    }

    /// Where orders come in.
    ///
    /// - Throws: ``Unusable`` if this process does not run the order service.
    var desk: OrderDesk<DB, Bus> {
        get throws {
            guard let site = premises.sites.first(where: { $0.name == .order }) else {
                throw Unusable(message: "orders come in where the service order runs.")
            }
            return OrderDesk(
                service: orderService(site), options: options, bookkeeper: bookkeeper, isShared: premises.isLasting)
        }
    }

    private var services: [any Service] {
        let chance = Chance(seed: options.seed)
        return premises.sites.map { site in
            switch site.name {
            case .order: orderService(site)
            case .payment:
                PaymentService(
                    parts: parts(site), gateway: CardGateway(chance: chance, decline: options.decline))
            case .inventory:
                InventoryService(parts: parts(site), chance: chance, outOfStock: options.outOfStock)
            }
        }
    }

    private func orderService(_ site: Site<DB>) -> OrderService<DB, Bus> {
        OrderService(parts: parts(site)) { [bookkeeper] in bookkeeper.orderEnded(after: $0) }
    }

    private func parts(_ site: Site<DB>) -> ServiceParts<DB, Bus> {
        ServiceParts(
            name: site.name.rawValue, database: site.database, bus: premises.bus, relays: premises.relays,
            workers: options.workers, without: options.without, lease: .seconds(options.lease),
            pollInterval: premises.isLasting ? .milliseconds(100) : .seconds(1),
            waitsForReaders: premises.isLasting, crashPoints: crashPoints,
            onLoss: { [bookkeeper] _ in bookkeeper.eventLost() }
        )
    }

    // MARK: Waiting

    /// How long nothing may move until what has not ended by then is taken never to end.
    ///
    /// Deliveries that vanished come again within a fraction of this, and retries wait less long. Where a process ended, what it had
    /// claimed comes again when the leases have run out, and a broker may take a while to notice.
    var patience: Duration { premises.isLasting ? .seconds(10 + 4 * options.lease) : .seconds(2) }

    /// Waits until no message is under way: nothing to publish, and nothing delivered for a while.
    private func untilAtRest(accepted: Int, at desk: OrderDesk<DB, Bus>) async throws {
        let time = Runtime.current.time
        let interval: Duration = .milliseconds(premises.isLasting ? 100 : 50)
        // A service in another process may be down for as long as it likes. Without a protection some orders never end.
        let isPatient = options.isPartOfRun && options.without.isEmpty
        var last = (movements: bookkeeper.current.movements, ended: try await desk.countEnded())
        var still: Duration = .zero
        while true {
            try await time.sleep(for: interval)
            let now = (movements: bookkeeper.current.movements, ended: try await desk.countEnded())
            onProgress(accepted, now.ended)
            still = now == last ? still + interval : .zero
            last = now
            let areOver = now.ended >= accepted
            guard areOver || !isPatient, still >= (areOver ? .milliseconds(400) : patience) else { continue }
            if still >= patience * 5 { return }
            if try await unsent() == 0 { return }
        }
    }

    private func unsent() async throws -> Int {
        var unsent = 0
        for site in premises.sites {
            unsent += try await Persistence.run { _ in try await site.database.outboxStore.statistics().unsent }
        }
        return unsent
    }
}

extension Bookkeeper.Figures {
    /// Rises whenever anything moves.
    fileprivate var movements: Int {
        published + publishFailures + delivered + handled + suppressed + retried + delayed + ended
    }
}
