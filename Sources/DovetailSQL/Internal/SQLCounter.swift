// SPDX-License-Identifier: Apache-2.0

/// Raises a counter, which is never lower than before.
///
/// - Parameters:
///   - name: The counter.
///   - step: By how much.
///   - tables: Where it is kept.
///   - tx: The transaction.
/// - Returns: The counter after the step.
/// - Throws: `DatabaseError`.
func nextNumber(
    of name: String, by step: Int, tables: SQLTables, in tx: SQLTransaction<some SQLConnection>
) async throws -> Int64 {
    let rows = try await tx.query(
        """
        INSERT INTO \(raw: tables.counters) (name, value) VALUES (\(name), \(step))
        ON CONFLICT (name) DO UPDATE SET value = \(raw: tables.counters).value + excluded.value RETURNING value
        """)
    return try rows.first?.integer(0) ?? 0
}
