// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation
import Synchronization

/// One page on the terminal: the services run as processes of their own, a key kills one, and the books balance all the same.
///
/// The tour takes the orders in and looks on; all that it shows of the services it reads from their databases and from the bus.
/// Without a terminal it prints a line now and then, and kills each service once by itself.
struct Tour<DB: ShopDatabase, Bus: BacklogReportingTransport>: Sendable {
    /// How many orders are taken in a second, so that a person can follow.
    private static var ordersPerSecond: Double { 50 }
    /// How long a killed service stays dead.
    private static var timeDead: Duration { .seconds(3) }
    private static var framesPerSecond: Int { 10 }

    let shop: Shop<DB, Bus>
    let desk: OrderDesk<DB, Bus>
    /// What the service processes are started with, besides their names.
    let arguments: [String]
    let folder: URL

    /// Runs the tour.
    ///
    /// - Returns: How it ended; `nil` if the person quit.
    func run(_ file: OpenFile) async throws -> TourEnding? {
        let time = SystemTime()
        let started = time.monotonic()
        let services = Options.ServiceName.allCases.map {
            ServiceProcess($0, arguments: arguments, log: folder.appendingPathComponent("\($0.rawValue).log"))
        }
        defer { for service in services { service.stop() } }
        let start = try await desk.position(in: file.name)
        for service in services { try service.start() }
        let taken = Taken()
        return try await withThrowingTaskGroup(of: Void.self) { group in
            var intake = desk.intake(onProgress: { taken.count = $0 })
            intake.rate = Self.ordersPerSecond
            group.addTask { [intake] in
                // Nobody waits for this task until the watch has ended, so it is the watch that is told.
                do {
                    taken.end(with: .success(try await intake.run(try file.take(), from: start).accepted))
                } catch {
                    taken.end(with: .failure(error))
                }
            }
            defer { group.cancelAll() }
            let hasRested = try await watch(services, taken, since: started)
            group.cancelAll()
            guard hasRested else { return nil }
            try await group.waitForAll()
            for service in services { service.stop() }
            return TourEnding(
                audit: Audit(of: try await Books(of: shop.premises.sites), accepted: try taken.total ?? 0),
                kills: services.reduce(0) { $0 + $1.kills },
                seconds: (time.monotonic() - started).inSeconds
            )
        }
    }

    /// Draws the page until every message has come to rest.
    ///
    /// - Returns: Whether it has; `false` if the person quit.
    /// - Throws: What the orders could not be taken in for, among others.
    private func watch(
        _ services: [ServiceProcess], _ taken: Taken, since started: MonotonicInstant
    ) async throws -> Bool {
        let terminal = Terminal()
        let time = SystemTime()
        var watch = TourWatch(services: services.count, patience: shop.patience)
        var message = "Kill one, and see what becomes of its messages."
        var frame = 0
        while true {
            let now = time.monotonic()
            for key in terminal.keys() {
                if key == "q" { return false }
                if let victim = victim(of: key, among: services) { message = kill(victim, at: now) }
            }
            if !terminal.isInteractive, let victim = watch.nextByItself(taken.count, among: services) {
                message = kill(victim, at: now)
            }
            for service in services {
                if let died = service.killedAt {
                    guard now - died >= Self.timeDead else { continue }
                    try service.start()
                    message = "\(service.name.rawValue) is back, and goes on where it was."
                } else if !service.isRunning {
                    throw Unusable(
                        message: "the service \(service.name.rawValue) ended: "
                            + (service.lastComplaint ?? "it said nothing about it."))
                }
            }
            let page = try await page(services, taken, &watch, elapsed: now - started, message: message)
            if terminal.isInteractive {
                terminal.draw(page.lines)
            } else if frame % (Self.framesPerSecond * 2) == 0 {
                print(page.line)
            }
            if watch.isAtRest(page, at: now) { return true }
            frame += 1
            try await time.sleep(for: .milliseconds(1000 / Self.framesPerSecond))
        }
    }

    private func victim(of key: Character, among services: [ServiceProcess]) -> ServiceProcess? {
        let running = services.filter(\.isRunning)
        if key == " " {
            var chance = SystemRandom().generator
            return running.randomElement(using: &chance)
        }
        return running.first { $0.name.rawValue.first == key }
    }

    private func kill(_ service: ServiceProcess, at now: MonotonicInstant) -> String {
        service.kill(at: now)
        return "\(service.name.rawValue) was killed with SIGKILL, in the middle of what it did."
    }

    func page(
        _ services: [ServiceProcess], _ taken: Taken, _ watch: inout TourWatch, elapsed: Duration, message: String
    ) async throws -> TourPage {
        let now = SystemTime().monotonic()
        var rows: [TourPage.Row] = []
        for (index, (service, site)) in zip(services, shop.premises.sites).enumerated() {
            let unsent = try await site.database.outboxStore.statistics()
            let waiting = try await shop.premises.bus.backlog(
                of: ConsumerGroup(service.name.rawValue), on: topics(of: service.name)
            )
            let backlog = unsent.unsent + waiting
            watch.note(backlog, of: index, at: now)
            let state: TourPage.State =
                if let died = service.killedAt {
                    .killed(startsIn: max(.zero, Self.timeDead - (now - died)))
                } else {
                    service.isRunning ? .running(service.identifier) : .ended
                }
            rows.append(
                TourPage.Row(
                    name: service.name.rawValue, state: state, unsent: unsent.unsent, waiting: waiting,
                    lag: watch.lag(of: index, at: now), kills: service.kills, history: watch.history(of: index)
                ))
        }
        let ends = try await desk.endings()
        return TourPage(
            elapsed: elapsed, total: try taken.total, accepted: taken.count, confirmed: ends.confirmed,
            cancelled: ends.cancelled, rows: rows, message: message
        )
    }

    private func topics(of service: Options.ServiceName) -> [Topic] {
        switch service {
        case .order: [StockReserved.topic, PaymentFailed.topic, PaymentRefunded.topic]
        case .payment: [OrderPlaced.topic, StockRejected.topic]
        case .inventory: [PaymentSucceeded.topic]
        }
    }
}

/// What came out of a tour.
struct TourEnding: Sendable {
    let audit: Audit
    let kills: Int
    let seconds: Double

    var text: String {
        let orders =
            "\(audit.orders.grouped) orders, \(audit.confirmed.grouped) confirmed and \(audit.cancelled.grouped) cancelled"
        let story = "\(orders); services were killed \(kills) times in \(Int(seconds)) s."
        guard audit.isClean else {
            return ([story, "The books DO NOT balance."] + audit.complaints.map { "  \($0)" }).joined(separator: "\n")
        }
        return story
            + "\nThe books balance: \(audit.chargedCents.money) charged minus \(audit.refundedCents.money) refunded is the "
            + "\(audit.confirmedCents.money) that the confirmed orders are worth."
    }
}

/// Runs a tour on premises of whatever kind.
struct TourRun: PremisesVisitor {
    let options: Options
    let file: OpenFile
    let folder: URL

    func visit<DB: ShopDatabase, Bus: BacklogReportingTransport>(
        _ premises: Premises<DB, Bus>
    ) async throws -> TourEnding? {
        let shop = Shop(options: options, bookkeeper: Bookkeeper(), premises: premises, onProgress: { _, _ in })
        let arguments = arguments + (premises.run.map { ["--run", $0] } ?? [])
        return try await Tour(shop: shop, desk: shop.desk, arguments: arguments, folder: folder).run(file)
    }

    func isEnd(_ result: TourEnding?) -> Bool { result?.audit.isClean ?? false }

    /// What the services must know to work on the same premises.
    private var arguments: [String] {
        var arguments = [
            "--seed", "\(options.seed)", "--decline", "\(options.decline)", "--out-of-stock", "\(options.outOfStock)",
            "--workers", "\(options.workers)", "--lease", "\(options.lease)",
        ]
        switch options.database {
        case .memory: break
        case .sqlite(let path): arguments += ["--database", "sqlite:\(path)"]
        case .postgresql(let address): arguments += ["--database", address, "--relay", options.relay.rawValue]
        }
        switch options.transport {
        case .local: break
        case .kafka(let address): arguments += ["--transport", "kafka:\(address)"]
        case .rabbitMQ(let address): arguments += ["--transport", address]
        }
        for protection in options.without { arguments += ["--without", protection.rawValue] }
        return arguments
    }
}

/// How far the orders were taken in, told from one task to another.
final class Taken: Sendable {
    private struct State {
        var count = 0
        var outcome: Result<Int, any Error>?
    }

    private let state = Mutex(State())

    var count: Int {
        get { state.withLock { $0.count } }
        set { state.withLock { $0.count = newValue } }
    }

    /// How many orders the file had; `nil` until its end is reached.
    ///
    /// Reading it throws what they could not be taken in for.
    var total: Int? {
        get throws {
            let outcome = state.withLock { $0.outcome }
            return try outcome?.get()
        }
    }

    /// Notes how many orders the file had, or what they could not be taken in for.
    func end(with outcome: Result<Int, any Error>) {
        state.withLock { $0.outcome = outcome }
    }
}

/// What the tour remembers from one page to the next.
struct TourWatch {
    private struct Track {
        var history: [Int] = []
        var lastDrawn: MonotonicInstant?
        /// Since when there has been something to do.
        var busySince: MonotonicInstant?
    }

    private let patience: Duration
    private var tracks: [Track]
    private var lastEnded = 0
    private var stillSince: MonotonicInstant?
    private var killedByItself = 0

    /// Creates the memory of a tour.
    ///
    /// - Parameters:
    ///   - services: How many services there are.
    ///   - patience: How long nothing may be under way until orders that have not ended are taken never to.
    init(services: Int, patience: Duration) {
        self.patience = patience
        tracks = Array(repeating: Track(), count: services)
    }

    /// Notes how much a service has to do.
    mutating func note(_ backlog: Int, of index: Int, at now: MonotonicInstant) {
        tracks[index].busySince = backlog == 0 ? nil : tracks[index].busySince ?? now
        if let last = tracks[index].lastDrawn, now - last < .milliseconds(500) { return }
        tracks[index].lastDrawn = now
        tracks[index].history = (tracks[index].history + [backlog]).suffix(24)
    }

    func history(of index: Int) -> [Int] { tracks[index].history }

    func lag(of index: Int, at now: MonotonicInstant) -> Duration {
        tracks[index].busySince.map { now - $0 } ?? .zero
    }

    /// Which service to kill when there is nobody to press a key: each once, a while apart.
    mutating func nextByItself(_ accepted: Int, among services: [ServiceProcess]) -> ServiceProcess? {
        guard killedByItself < services.count, accepted >= (killedByItself + 1) * 200 else { return nil }
        let service = services[killedByItself]
        killedByItself += 1
        return service.isRunning ? service : nil
    }

    /// Whether nothing has been under way for a moment, or for long if some orders have not ended.
    ///
    /// Without a protection some never do.
    mutating func isAtRest(_ page: TourPage, at now: MonotonicInstant) -> Bool {
        let ended = page.confirmed + page.cancelled
        let hasMoved = ended != lastEnded
        lastEnded = ended
        guard let total = page.total, !hasMoved, page.rows.allSatisfy(\.isIdle) else {
            stillSince = nil
            return false
        }
        let since = stillSince ?? now
        stillSince = since
        return now - since > (ended >= total ? Duration.seconds(1) : patience)
    }
}
