// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Where orders come in and where it is seen how they ended: what only the process can do that has the rows of the order service.
struct OrderDesk<DB: ShopDatabase, Bus: Transport>: Sendable {
    let service: OrderService<DB, Bus>
    let options: Options
    let bookkeeper: Bookkeeper
    /// Whether other processes may end orders too.
    let isShared: Bool

    private var database: DB { service.parts.database }

    func intake(onProgress: @escaping @Sendable (_ accepted: Int) -> Void) -> Intake<DB, Bus> {
        Intake(
            service: service, options: options, bookkeeper: bookkeeper, countEnded: countEnded, onProgress: onProgress
        )
    }

    /// How far an earlier run has come.
    ///
    /// - Throws: ``Unusable`` if there was one that this one does not go on with.
    func position(in file: String) async throws -> IntakePosition {
        guard let last = try await IntakePosition.table(in: database).get(IntakePosition.key) else {
            return IntakePosition(file: file, seed: options.seed, line: 0, accepted: 0)
        }
        guard options.resume else { throw Unusable.earlierRun }
        guard last.file == file, last.seed == options.seed else {
            throw Unusable(
                message:
                    "the earlier run took its orders from \(last.file) with --seed \(last.seed), this one would take "
                    + "them from \(file) with --seed \(options.seed). Resume it with the same.")
        }
        return last
    }

    /// Counts the ends of orders.
    @Sendable func countEnded() async throws -> Int {
        guard isShared else { return bookkeeper.current.ended }
        return try await Persistence.run { _ in try await database.rowCount("endings") }
    }

    /// Counts from the rows how orders have ended.
    func endings() async throws -> (confirmed: Int, cancelled: Int) {
        var (confirmed, cancelled) = (0, 0)
        try await database.forEachRow("endings", of: Ending.self) { ending in
            if ending.state == .confirmed { confirmed += 1 } else { cancelled += 1 }
        }
        return (confirmed, cancelled)
    }
}
