// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

/// Where a shop keeps its rows, and what carries its messages.
struct Premises<DB: ShopDatabase, Bus: Transport>: Sendable {
    let bus: Bus
    let order: DB
    let payment: DB
    let inventory: DB
    var relays: any RelayMaker<DB> = TableRelays<DB>()
    /// Whether they outlive the process, and other processes may use them at the same time.
    var isLasting = false
}

/// What came out of a run.
struct Outcome: Sendable {
    var audit: Audit
    var figures: Bookkeeper.Figures
    var orderOfInterest: String?
}

/// Something that a run needs is not there, or not as it needs it.
struct Unusable: Error {
    let message: String
}

/// The three services with their databases and the bus between them.
struct Shop<DB: ShopDatabase, Bus: Transport>: Sendable {
    let options: Options
    let bookkeeper: Bookkeeper
    let premises: Premises<DB, Bus>
    var crashPoints: CrashPoints?
    /// Told now and then how many orders were taken in and how many have ended.
    let onProgress: @Sendable (_ accepted: Int, _ ended: Int) -> Void

    /// Takes all orders of a file in, waits until every message has come to rest, and audits the books.
    func run(_ file: OpenFile) async throws -> Outcome {
        let start = try await position(in: file.name)
        return try await withThrowingTaskGroup(of: Void.self) { group in
            for service in services(Set(Options.ServiceName.allCases)) {
                group.addTask { try await service.run() }
            }
            defer { group.cancelAll() }
            let intake = intake { [bookkeeper, onProgress] in onProgress($0, bookkeeper.current.ended) }
            let taken = try await intake.run(try file.take(), from: start)
            try await untilAtRest(accepted: taken.accepted)
            group.cancelAll()
            while let ended = await group.nextResult() {
                if case .failure(let error) = ended, !(error is CancellationError) { throw error }
            }
            return Outcome(
                audit: try await audit(accepted: taken.accepted), figures: bookkeeper.current,
                orderOfInterest: taken.interest
            )
        }
    }

    /// Runs some of the services beside others on the same premises, until cancelled or interrupted.
    func runServices(_ names: Set<Options.ServiceName>) async throws {
        try await Services(services(names)).run()
    }

    func intake(onProgress: @escaping @Sendable (_ accepted: Int) -> Void) -> Intake<DB, Bus> {
        Intake(
            service: orderService, options: options, bookkeeper: bookkeeper, countEnded: countEnded,
            onProgress: onProgress
        )
    }

    private var orderService: OrderService<DB, Bus> {
        OrderService(parts: parts("order", premises.order)) { [bookkeeper] in bookkeeper.orderEnded(after: $0) }
    }

    private func services(_ names: Set<Options.ServiceName>) -> [any Service] {
        let chance = Chance(seed: options.seed)
        return Options.ServiceName.allCases.filter(names.contains).map { name in
            switch name {
            case .order: orderService
            case .payment:
                PaymentService(
                    parts: parts("payment", premises.payment),
                    gateway: CardGateway(chance: chance, decline: options.decline)
                )
            case .inventory:
                InventoryService(
                    parts: parts("inventory", premises.inventory), chance: chance, outOfStock: options.outOfStock
                )
            }
        }
    }

    private func parts(_ name: String, _ database: DB) -> ServiceParts<DB, Bus> {
        ServiceParts(
            name: name, database: database, bus: premises.bus, relays: premises.relays, workers: options.workers,
            without: options.without,
            lease: .seconds(options.lease), pollInterval: premises.isLasting ? .milliseconds(100) : .seconds(1),
            crashPoints: crashPoints, onLoss: { [bookkeeper] _ in bookkeeper.eventLost() }
        )
    }

    /// How far an earlier run has come.
    ///
    /// - Throws: ``Unusable`` if there was one that this one does not go on with.
    func position(in file: String) async throws -> IntakePosition {
        guard let last = try await IntakePosition.found(in: premises.order, options) else {
            return IntakePosition(file: file, seed: options.seed, line: 0, accepted: 0)
        }
        guard last.file == file, last.seed == options.seed else {
            throw Unusable(
                message:
                    "the earlier run took its orders from \(last.file) with --seed \(last.seed), this one would take "
                    + "them from \(file) with --seed \(options.seed). Resume it with the same.")
        }
        return last
    }

    /// Reads from the rows how things stand.
    func audit(accepted: Int) async throws -> Audit {
        try await Audit(
            order: premises.order, payment: premises.payment, inventory: premises.inventory, accepted: accepted
        )
    }

    /// Counts from the rows how orders have ended.
    func endings() async throws -> (confirmed: Int, cancelled: Int) {
        var (confirmed, cancelled) = (0, 0)
        for entry in try await premises.order.table("endings", of: Ending.self).all() {
            if entry.row.state == .confirmed { confirmed += 1 } else { cancelled += 1 }
        }
        return (confirmed, cancelled)
    }

    // MARK: Waiting

    @Sendable private func countEnded() async throws -> Int {
        // Others may end orders too where several processes share the rows.
        premises.isLasting ? try await premises.order.rowCount("endings") : bookkeeper.current.ended
    }

    /// Waits until no message is under way: nothing to publish, and nothing delivered for a while.
    private func untilAtRest(accepted: Int) async throws {
        let time = Runtime.current.time
        let interval: Duration = .milliseconds(premises.isLasting ? 100 : 50)
        // Deliveries that vanished come again within a fraction of this, and retries wait less long. Where a process ended, what
        // it had claimed comes again when the leases have run out, and a broker may take a while to notice.
        let patience = premises.isLasting ? .seconds(10 + 4 * options.lease) : Duration.seconds(2)
        var last = (movements: bookkeeper.current.movements, ended: try await countEnded())
        var still: Duration = .zero
        while true {
            try await time.sleep(for: interval)
            let now = (movements: bookkeeper.current.movements, ended: try await countEnded())
            onProgress(accepted, now.ended)
            still = now == last ? still + interval : .zero
            last = now
            guard still >= (now.ended >= accepted ? .milliseconds(400) : patience) else { continue }
            if still >= patience * 5 { return }
            if try await unsent() == 0 { return }
        }
    }

    private func unsent() async throws -> Int {
        var unsent = 0
        for database in [premises.order, premises.payment, premises.inventory] {
            unsent += try await database.outboxStore.statistics().unsent
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
