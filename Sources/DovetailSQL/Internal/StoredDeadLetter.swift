// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Dead letters and their groups as rows.
///
/// What letters are searched by has a column of its own beside the attributes of the message. There U+FFFD stands in place of
/// the character zero, which not every database keeps; attributes and headers are JSON, and have it as an escape.
enum StoredDeadLetter {
    /// What a letter is read from, in this order.
    static let columns: SQL = """
        number, id, queue, tier, topic, position, consumer, attempts, reason, failure_type, failure_place, failure_message,
        given_up_at, attributes, headers, error_code, error_message, payload
        """

    // MARK: Writing

    static func insertion(_ letters: ArraySlice<DeadLetter>, into table: String) -> SQL {
        var sql: SQL = """
            INSERT INTO \(raw: table) (
                id, queue, tier, tenant, topic, position, consumer, attempts, reason, message_id, message_type, fingerprint,
                failure_type, failure_place, failure_message, given_up_at, given_up_us, attributes, headers, error_code,
                error_message, payload
            ) VALUES
            """
        for (index, letter) in letters.enumerated() {
            sql += index > 0 ? ", (" : " ("
            sql += values(of: letter)
            sql += ")"
        }
        sql += " ON CONFLICT (id) DO NOTHING RETURNING id"
        return sql.storable
    }

    private static func values(of letter: DeadLetter) -> SQL {
        let attributes = letter.envelope?.attributes
        let description: SQL = """
            \(letter.id), \(letter.queue.rawValue), \(letter.tier.rawValue), \(letter.tenant?.rawValue),
            \(letter.topic.rawValue), \(letter.position), \(letter.consumer), \(letter.attempts),
            \(letter.reason.rawValue), \(attributes?.id.rawValue), \(attributes?.type.rawValue),
            \(letter.fingerprint.rawValue), \(letter.failure.type), \(letter.failure.place), \(letter.failure.message),
            \(letter.time.rfc3339), \(letter.time.microsecondsSinceEpoch),
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

    /// Adds the letters of groups to those that are counted already.
    ///
    /// - Parameters:
    ///   - groups: The groups, each once, with the letters to add.
    ///   - table: The table of groups.
    /// - Returns: The statement.
    static func addition(of groups: ArraySlice<DeadLetterGroup>, to table: String) -> SQL {
        var sql: SQL = """
            INSERT INTO \(raw: table) (
                queue, tier, fingerprint, reason, message_type, consumer, failure_type, failure_place, failure_message, letters,
                first_us, last_us, example
            ) VALUES
            """
        for (index, group) in groups.enumerated() {
            sql += index > 0 ? ", (" : " ("
            sql += """
                \(group.id.queue.rawValue), \(group.id.tier.rawValue), \(group.id.fingerprint.rawValue),
                \(group.reason.rawValue), \(group.type?.rawValue), \(group.consumer), \(group.failure.type),
                \(group.failure.place), \(group.failure.message), \(group.count), \(group.first.microsecondsSinceEpoch),
                \(group.last.microsecondsSinceEpoch), \(group.example)
                """
            sql += ")"
        }
        sql += """
             ON CONFLICT (queue, tier, fingerprint) DO UPDATE SET
                letters = \(raw: table).letters + excluded.letters, failure_message = excluded.failure_message,
                example = excluded.example,
                first_us = CASE WHEN excluded.first_us < \(raw: table).first_us THEN excluded.first_us
                    ELSE \(raw: table).first_us END,
                last_us = CASE WHEN excluded.last_us > \(raw: table).last_us THEN excluded.last_us
                    ELSE \(raw: table).last_us END
            """
        return sql.storable
    }

    // MARK: Reading

    static func letter(_ row: SQLRow) throws -> DeadLetter {
        let id = try row.text(1)
        return try letter(row, id: id, content: try content(row, of: id))
    }

    static func letter(_ row: SQLRow, id: String, content: Delivery.Content) throws -> DeadLetter {
        DeadLetter(
            id: id, content: content, topic: Topic(try row.text(4)), position: try row.text(5),
            consumer: try row.text(6), attempts: try row.count(7),
            reason: DeadLetterReason(try row.text(8)),
            failure: FailureDetail(type: try row.text(9), place: try row.text(10), message: try row.text(11)),
            time: try time(row, 12, of: id), queue: DeadLetterQueueName(try row.text(2)),
            tier: DeadLetterTier(try row.text(3)), place: try row.integer(0)
        )
    }

    static func time(_ row: SQLRow, _ column: Int, of id: String) throws -> Timestamp {
        guard let time = Timestamp(rfc3339: try row.text(column)) else {
            throw DatabaseError(
                .undecodableRow, "The time of the dead letter '\(id)' cannot be read. Put the row right.")
        }
        return time
    }

    private static func content(_ row: SQLRow, of id: String) throws -> Delivery.Content {
        let payload = try row.bytes(17)
        if let attributes = try row.optionalText(13) {
            return .envelope(
                Envelope(try StoredAttributes.decode(attributes, of: "dead letter '\(id)'"), payload: payload)
            )
        }
        let headers = try StoredAttributes.decodeHeaders(try row.text(14), of: "dead letter '\(id)'")
        let code = MessageError.Code(name: try row.text(15)) ?? .invalidEnvelope
        return .undecodable(payload, headers: headers, MessageError(code, try row.text(16)))
    }

    /// What a group is read from, in this order.
    static let groupColumns: SQL = """
        queue, tier, fingerprint, reason, message_type, consumer, failure_type, failure_place, failure_message, letters, first_us,
        last_us, example
        """

    static func group(_ row: SQLRow) throws -> DeadLetterGroup {
        DeadLetterGroup(
            id: DeadLetterGroup.ID(
                queue: DeadLetterQueueName(try row.text(0)), tier: DeadLetterTier(try row.text(1)),
                fingerprint: DeadLetterFingerprint(try row.text(2))),
            reason: DeadLetterReason(try row.text(3)), type: try row.optionalText(4).map { MessageType($0) },
            consumer: try row.text(5),
            failure: FailureDetail(type: try row.text(6), place: try row.text(7), message: try row.text(8)),
            count: try row.count(9), first: Timestamp(microsecondsSinceEpoch: try row.integer(10)),
            last: Timestamp(microsecondsSinceEpoch: try row.integer(11)), example: try row.text(12))
    }

    // MARK: Older forms

    /// Fills in what version 1 of the tables did not have, in pages.
    static func bringUpToDate(_ tables: SQLTables, in tx: SQLTransaction<some SQLConnection>) async throws {
        var last: Int64 = 0
        while true {
            let rows = try await tx.query(
                """
                SELECT \(columns) FROM \(raw: tables.deadLetters) WHERE number > \(last) ORDER BY number LIMIT 200
                """)
            guard !rows.isEmpty else { return }
            var groups: [DeadLetterGroup.ID: DeadLetterGroup] = [:]
            for row in rows {
                last = try row.integer(0)
                let id = try row.text(1)
                let whole = try? letter(row)
                // A row that cannot be read is not lost for it: it is counted, and says what is wrong when it is read.
                let unreadable = Delivery.Content.undecodable(
                    [], headers: [:], MessageError(.invalidEnvelope, "The row cannot be read."))
                guard let letter = whole ?? (try? letter(row, id: id, content: unreadable)) else { continue }
                let attributes = letter.envelope?.attributes
                let update: SQL = """
                    UPDATE \(raw: tables.deadLetters) SET
                        tenant = \(letter.tenant?.rawValue), message_id = \(attributes?.id.rawValue),
                        message_type = \(attributes?.type.rawValue), fingerprint = \(letter.fingerprint.rawValue),
                        given_up_us = \(letter.time.microsecondsSinceEpoch)
                    WHERE number = \(last)
                    """
                try tx.send(update.storable)
                let group = DeadLetterGroup(of: letter)
                if groups[group.id]?.add(letter) == nil { groups[group.id] = group }
            }
            let sorted = groups.values.sorted { $0.id < $1.id }
            for chunk in SQLChunks(0..<sorted.count) {
                try tx.send(addition(of: sorted[chunk], to: tables.deadLetterGroups))
            }
        }
    }
}
