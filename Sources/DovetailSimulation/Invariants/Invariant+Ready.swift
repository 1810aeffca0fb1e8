// SPDX-License-Identifier: Apache-2.0

extension Invariant {
    /// When all is quiet, every message that a transaction committed to an outbox was published or is a dead letter, and every
    /// message that a consumer acknowledged was handled or skipped by it, or is a dead letter.
    public static let noLostMessage = atQuiet("no message is lost") { $0.ledger.lost }

    /// The messages of one sender, topic and partition key are published in the order in which they were committed, and each
    /// consumer handles them in that order; those that come again after they were dead letters do not count.
    public static let orderPerKey = Invariant("messages of a key keep their order", .everyStep) { $0.ledger.disorder }

    /// At no time there are two rows in a table that tell of the same effect.
    ///
    /// Give effects rows of their own, under keys that do not collide, so that a second one shows.
    ///
    /// - Parameters:
    ///   - table: The table with a row for each effect.
    ///   - database: The database it is in.
    ///   - row: The type of its rows.
    ///   - effect: Names the effect that a row tells of.
    /// - Returns: The invariant.
    public static func noDoubleEffect<Row: Decodable & Sendable>(
        table: String, in database: String = "main", of row: Row.Type, _ effect: @escaping @Sendable (Row) -> String
    ) -> Invariant {
        Invariant("nothing in '\(table)' happens twice", .everyStep) { state in
            var seen: [String: String] = [:]
            for (key, row) in try state.rows(of: table, as: Row.self, in: database) {
                if let other = seen.updateValue(key, forKey: effect(row)) {
                    return "'\(effect(row))' happened twice: \(table)/\(other) and \(table)/\(key)"
                }
            }
            return nil
        }
    }

    /// When all is quiet, two sums are the same.
    ///
    /// - Parameters:
    ///   - name: What must balance.
    ///   - sums: The two sums, each with its name.
    /// - Returns: The invariant.
    public static func booksBalance(
        _ name: String = "the books balance",
        _ sums: @escaping @Sendable (WorldState) throws -> (left: (String, Int), right: (String, Int))
    ) -> Invariant {
        atQuiet(name) { state in
            let (left, right) = try sums(state)
            return left.1 == right.1 ? nil : "\(left.0) is \(left.1), \(right.0) is \(right.1)"
        }
    }

    /// When all is quiet, nobody holds a permit, such as one of a bulkhead or a probe of a circuit breaker.
    ///
    /// - Parameters:
    ///   - name: Whose permits.
    ///   - inUse: How many are held.
    /// - Returns: The invariant.
    public static func noLeakedPermit(_ name: String, inUse: @escaping @Sendable () -> Int) -> Invariant {
        atQuiet("no permit of \(name) is leaked") { _ in
            let count = inUse()
            return count == 0 ? nil : "\(count) are still held"
        }
    }
}
