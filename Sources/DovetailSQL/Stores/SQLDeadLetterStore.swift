// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// The dead letters of a ``SQLDatabase``.
///
/// They stand in the order in which they were kept. Of the error that made a letter undecodable the code and the message are
/// kept, not its cause. Groups know their times to the microsecond. Each kind of filter finds its letters by an index, except for
/// the text, the topic and the tier, which are looked for in the letters that the rest of the filter leaves.
public struct SQLDeadLetterStore<Pool: SQLConnectionPool>: DeadLetterStore {
    /// The transactions of the database.
    public typealias Transaction = SQLTransaction<Pool.Connection>

    let database: SQLDatabase<Pool>

    init(_ database: SQLDatabase<Pool>) {
        self.database = database
    }

    var letters: String { database.core.tables.deadLetters }
    var groups: String { database.core.tables.deadLetterGroups }
    var records: String { database.core.tables.deadLetterRecords }

    // MARK: Coming in

    /// Adds letters.
    ///
    /// A letter whose identifier is there already changes nothing.
    ///
    /// - Parameters:
    ///   - letters: The letters.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError`.
    public func append(_ letters: [DeadLetter], in tx: Transaction) async throws {
        try tx.check(database: database.core.id)
        try tx.checkWritable()
        var new: [DeadLetterGroup.ID: DeadLetterGroup] = [:]
        for chunk in SQLChunks(0..<letters.count) {
            let rows = try await tx.query(StoredDeadLetter.insertion(letters[chunk], into: self.letters))
            var added = Set(try rows.map { try $0.text(0) })
            for letter in letters[chunk] where added.remove(letter.id) != nil {
                let group = DeadLetterGroup(of: letter)
                if new[group.id]?.add(letter) == nil { new[group.id] = group }
            }
        }
        // In one order, so that two transactions do not wait for each other over the groups of one call.
        let sorted = new.values.sorted { $0.id < $1.id }
        for chunk in SQLChunks(0..<sorted.count) {
            try tx.send(StoredDeadLetter.addition(of: sorted[chunk], to: groups))
        }
    }

    // MARK: Looking

    /// Reads a letter.
    ///
    /// - Parameters:
    ///   - id: The letter.
    ///   - tx: The transaction.
    /// - Returns: The letter; `nil` if it is not there.
    /// - Throws: `DatabaseError`.
    public func letter(_ id: String, in tx: Transaction) async throws -> DeadLetter? {
        try tx.check(database: database.core.id)
        let rows = try await tx.query(
            "SELECT \(StoredDeadLetter.columns) FROM \(raw: letters) WHERE id = \(id)")
        return try rows.first.map(StoredDeadLetter.letter)
    }

    /// Reads letters in the order of their places.
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - place: Only those behind this place.
    ///   - limit: The most letters to return.
    ///   - tx: The transaction.
    /// - Returns: The letters.
    /// - Throws: `DatabaseError`.
    public func find(
        _ filter: DeadLetterFilter, after place: Int64, limit: Int, in tx: Transaction
    ) async throws -> [DeadLetter] {
        try tx.check(database: database.core.id)
        guard limit > 0 else { return [] }
        if let named = try await named(by: filter, in: tx) {
            let behind = named.filter { ($0.place ?? 0) > place }
            return Array(behind.sorted { ($0.place ?? 0) < ($1.place ?? 0) }.prefix(limit))
        }
        var conditions = DeadLetterConditions(filter, in: database.core.dialect, byTime: false)
        conditions.add("number > \(place)")
        let rows = try await tx.query(
            """
            SELECT \(StoredDeadLetter.columns) FROM \(raw: letters)\(conditions.clause) ORDER BY number LIMIT \(limit)
            """)
        return try rows.map(StoredDeadLetter.letter)
    }

    /// The letters that a filter calls by name and that fulfil the rest of it, in no order; `nil` if it names none.
    private func named(by filter: DeadLetterFilter, in tx: Transaction) async throws -> [DeadLetter]? {
        let (column, names): (String, [String])
        if let letters = filter.letters {
            (column, names) = ("id", letters.sorted())
        } else if let messages = filter.messages {
            (column, names) = ("message_id", Set(messages.map { FailureDetail.storable($0.rawValue) }).sorted())
        } else {
            return nil
        }
        var found: [DeadLetter] = []
        for chunk in SQLChunks(0..<names.count) {
            let rows = try await tx.query(
                """
                SELECT \(StoredDeadLetter.columns) FROM \(raw: letters)
                WHERE \(raw: column) IN (\(SQL.list(names[chunk])))
                """)
            found += try rows.map(StoredDeadLetter.letter).filter(filter.matches)
        }
        return found
    }

    /// Counts letters, as far as asked.
    ///
    /// What groups know, such as the queue, the reason and the consumer, is counted by groups, without reading letters.
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - limit: From which number on it does not matter how many there are.
    ///   - tx: The transaction.
    /// - Returns: How many there are, the limit at most.
    /// - Throws: `DatabaseError`.
    public func count(_ filter: DeadLetterFilter, atMost limit: Int, in tx: Transaction) async throws -> Int {
        try tx.check(database: database.core.id)
        guard limit > 0 else { return 0 }
        if let named = try await named(by: filter, in: tx) { return min(named.count, limit) }
        if let conditions = DeadLetterConditions(onGroups: filter, in: database.core.dialect) {
            let rows = try await tx.query(
                """
                SELECT CAST(SUM(letters) AS \(raw: database.core.dialect.integer)) FROM \(raw: groups)\(conditions.clause)
                """)
            return min(limit, Int(clamping: try rows.first?.optionalInteger(0) ?? 0))
        }
        let conditions = DeadLetterConditions(filter, in: database.core.dialect, byTime: true)
        let rows = try await tx.query(
            """
            SELECT COUNT(*) FROM (SELECT 1 FROM \(raw: letters)\(conditions.clause) LIMIT \(limit)) AS counted
            """)
        return try rows.first?.count(0) ?? 0
    }

    /// Counts all letters without reading them.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: How many there are.
    /// - Throws: `DatabaseError`.
    public func count(in tx: Transaction) async throws -> Int {
        try await count(.all, atMost: .max, in: tx)
    }

    /// Reads groups in their order.
    ///
    /// - Parameters:
    ///   - id: Only those behind this one.
    ///   - limit: The most groups to return.
    ///   - tx: The transaction.
    /// - Returns: The groups.
    /// - Throws: `DatabaseError`.
    public func groups(
        after id: DeadLetterGroup.ID?, limit: Int, in tx: Transaction
    ) async throws -> [DeadLetterGroup] {
        try tx.check(database: database.core.id)
        let start: SQL =
            if let id {
                """
                WHERE (queue, tier, fingerprint) > (\(id.queue.rawValue), \(id.tier.rawValue), \(id.fingerprint.rawValue))
                """
            } else {
                ""
            }
        let rows = try await tx.query(
            """
            SELECT \(StoredDeadLetter.groupColumns) FROM \(raw: groups) \(start)
            ORDER BY queue, tier, fingerprint LIMIT \(max(0, limit))
            """)
        return try rows.map(StoredDeadLetter.group)
    }

    /// The highest place of a letter that is there.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: The place; 0 if there is no letter.
    /// - Throws: `DatabaseError`.
    public func lastPlace(in tx: Transaction) async throws -> Int64 {
        try tx.check(database: database.core.id)
        return try await tx.query("SELECT MAX(number) FROM \(raw: letters)").first?.optionalInteger(0) ?? 0
    }
}
