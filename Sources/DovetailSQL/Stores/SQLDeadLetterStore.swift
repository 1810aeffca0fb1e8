// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// The dead letters of a ``SQLDatabase``.
///
/// They are listed in the order in which they were kept. Of the error that made a letter undecodable the code and the message are
/// kept, not its cause.
public struct SQLDeadLetterStore<Pool: SQLConnectionPool>: DeadLetterStore {
    /// The transactions of the database.
    public typealias Transaction = SQLTransaction<Pool.Connection>

    private let core: SQLDatabaseCore<Pool>

    init(_ database: SQLDatabase<Pool>) {
        core = database.core
    }

    private var letters: String { core.tables.deadLetters }

    /// Adds letters.
    ///
    /// A letter whose identifier is there already changes nothing.
    ///
    /// - Parameters:
    ///   - letters: The letters.
    ///   - tx: The transaction.
    /// - Throws: `DatabaseError`.
    public func append(_ letters: [DeadLetter], in tx: Transaction) async throws {
        try tx.check(database: core.id)
        try tx.checkWritable()
        for chunk in SQLChunks(0..<letters.count) {
            var sql: SQL = """
                INSERT INTO \(raw: self.letters) (
                    id, topic, position, consumer, attempts, reason, failure_type, failure_message, given_up_at,
                    attributes, headers, error_code, error_message, payload
                ) VALUES
                """
            for (index, letter) in letters[chunk].enumerated() {
                sql += index > 0 ? ", (" : " ("
                sql += values(of: letter)
                sql += ")"
            }
            sql += " ON CONFLICT (id) DO NOTHING"
            try tx.send(sql)
        }
    }

    private func values(of letter: DeadLetter) -> SQL {
        let description: SQL = """
            \(letter.id), \(letter.topic.rawValue), \(letter.position), \(letter.consumer), \(letter.attempts),
            \(letter.reason.rawValue), \(letter.failure.type), \(letter.failure.message), \(letter.time.rfc3339),
            """
        switch letter.content {
        case .envelope(let envelope):
            return
                "\(description) \(StoredAttributes.encode(envelope.attributes)), NULL, NULL, NULL, \(envelope.payload)"
        case .undecodable(let bytes, let headers, let error):
            return """
                \(description) NULL, \(StoredAttributes.encode(headers)), \(error.code.description), \(error.message),
                \(bytes)
                """
        }
    }

    /// Counts letters without reading them.
    ///
    /// - Parameter tx: The transaction.
    /// - Returns: How many there are.
    /// - Throws: `DatabaseError`.
    public func count(in tx: Transaction) async throws -> Int {
        try tx.check(database: core.id)
        return Int(try await tx.query("SELECT COUNT(*) FROM \(raw: letters)").first?.integer(0) ?? 0)
    }

    /// Reads letters, oldest first.
    ///
    /// - Parameters:
    ///   - after: The identifier of the last letter of the page before; `nil` for the first page, as is one that is not there.
    ///   - limit: The most letters to return.
    ///   - tx: The transaction.
    /// - Returns: The letters.
    /// - Throws: `DatabaseError`.
    public func list(after: String?, limit: Int, in tx: Transaction) async throws -> [DeadLetter] {
        try tx.check(database: core.id)
        let start: SQL =
            if let after {
                "WHERE number > COALESCE((SELECT number FROM \(raw: letters) WHERE id = \(after)), 0)"
            } else {
                ""
            }
        let rows = try await tx.query(
            """
            SELECT id, topic, position, consumer, attempts, reason, failure_type, failure_message, given_up_at,
                attributes, headers, error_code, error_message, payload
            FROM \(raw: letters) \(start) ORDER BY number LIMIT \(max(0, limit))
            """)
        return try rows.map(letter)
    }

    private func letter(_ row: SQLRow) throws -> DeadLetter {
        let id = try row.text(0)
        guard let time = Timestamp(rfc3339: try row.text(8)) else {
            throw DatabaseError(
                .undecodableRow, "The time of the dead letter '\(id)' cannot be read. Put the row right.")
        }
        return DeadLetter(
            id: id, content: try content(row, of: id), topic: Topic(try row.text(1)), position: try row.text(2),
            consumer: try row.text(3), attempts: Int(clamping: try row.integer(4)),
            reason: DeadLetterReason(try row.text(5)),
            failure: FailureDetail(type: try row.text(6), message: try row.text(7)), time: time
        )
    }

    private func content(_ row: SQLRow, of id: String) throws -> Delivery.Content {
        let payload = try row.bytes(13)
        if let attributes = try row.optionalText(9) {
            return .envelope(
                Envelope(try StoredAttributes.decode(attributes, of: "dead letter '\(id)'"), payload: payload)
            )
        }
        let headers = try StoredAttributes.decodeHeaders(try row.text(10), of: "dead letter '\(id)'")
        let code = MessageError.Code(name: try row.text(11)) ?? .invalidEnvelope
        return .undecodable(payload, headers: headers, MessageError(code, try row.text(12)))
    }
}
