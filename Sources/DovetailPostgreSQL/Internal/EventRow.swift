// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    import DovetailSQL

    /// A row of a table of events as it came through the log.
    struct EventRow: Sendable, Equatable {
        let columns: [LogMessage.Column]
        let values: LogMessage.Row

        /// The row as a JSON object of texts, for whoever has to find out what it was.
        var json: Bytes {
            var bytes: Bytes = [UInt8(ascii: "{")]
            var isFirst = true
            for (column, value) in zip(columns, values) {
                JSONWriter.appendKey(column.name, isFirst: &isFirst, to: &bytes)
                if let value {
                    JSONWriter.append(String(decoding: value, as: UTF8.self), to: &bytes)
                } else {
                    JSONWriter.appendNull(to: &bytes)
                }
            }
            bytes.append(UInt8(ascii: "}"))
            return bytes
        }

        fileprivate func value(_ name: String) throws -> (bytes: Bytes, type: UInt32)? {
            guard let place = columns.firstIndex(where: { $0.name == name }), place < values.count else {
                throw DatabaseError(
                    .undecodableRow,
                    "A row of the table of events came without the column '\(name)'. Was the table changed? Describe it in the "
                        + "PostgresEventTable as it is, and publish the row again."
                )
            }
            return values[place].map { ($0, columns[place].type) }
        }

        fileprivate func text(_ name: String) throws -> String? {
            try value(name).map { String(decoding: $0.bytes, as: UTF8.self) }
        }
    }

    extension PostgresEventTable {
        /// Columns are named as the attributes that they hold.
        private static let format = CloudEventsBinaryFormat(
            CloudEventsHeaderNaming(prefix: "", contentType: "datacontenttype"))

        // MARK: Reading

        /// The message of a row.
        ///
        /// - Throws: `DatabaseError` with `undecodableRow`, or `MessageError` if a value is none of its attribute.
        func envelope(of row: EventRow) throws -> Envelope<Bytes> {
            func required(_ column: String) throws -> String {
                guard let text = try row.text(column), !text.isEmpty else {
                    throw DatabaseError(
                        .undecodableRow,
                        "A row of the table of events has nothing in the column '\(column)'. Declare it NOT NULL, and see who writes it."
                    )
                }
                return text
            }
            var headers = [
                Headers.Element(name: "specversion", value: "1.0"),
                Headers.Element(name: "id", value: try required(id)),
                Headers.Element(name: "type", value: try required(type)),
            ]
            for (column, attribute) in attributes.sorted(by: { $0.key < $1.key }) {
                guard let (bytes, type) = try row.value(column), !bytes.isEmpty else { continue }
                let text = String(decoding: bytes, as: UTF8.self)
                headers.append(Headers.Element(name: attribute, value: Self.isTime(type) ? Self.rfc3339(text) : text))
            }
            let named = Set(headers.map(\.name))
            if !named.contains("source") { headers.append(Headers.Element(name: "source", value: source.rawValue)) }
            if !named.contains("datacontenttype") {
                headers.append(Headers.Element(name: "datacontenttype", value: contentType))
            }
            if let key = try row.text(aggregateID) {
                headers.append(Headers.Element(name: "partitionkey", value: key))
            }
            let content = try row.value(payload).map { bytes, type in
                type == PostgresRows.Kind.bytea.rawValue
                    ? PostgresRows.unescaped(String(decoding: bytes, as: UTF8.self)) : bytes
            }
            return try Self.format.decode(
                headers: headers, payload: content ?? [], topic: Topic(topicPrefix + (try required(aggregateType))))
        }

        /// Whether a column holds moments: `timestamptz` or `timestamp`.
        private static func isTime(_ type: UInt32) -> Bool { type == 1184 || type == 1114 }

        /// A moment in UTC as PostgreSQL writes it, in the form that CloudEvents have.
        private static func rfc3339(_ text: String) -> String {
            let bare = text.hasSuffix("+00") ? text.dropLast(3) : text[...]
            return bare.replacing(" ", with: "T", maxReplacements: 1) + "Z"
        }

        // MARK: Writing

        /// What inserts the row of a message.
        ///
        /// - Throws: `DatabaseError` with `unencodableRow`, or `MessageError` if the message is not a valid event.
        func statements(for envelope: Envelope<Bytes>, keepsRow: Bool) throws -> [SQL] {
            let message = envelope.attributes
            let headers = try Self.format.encode(envelope).headers
            var topic = message.topic.rawValue
            if topic.hasPrefix(topicPrefix) { topic.removeFirst(topicPrefix.count) }
            var values: [SQLValue] = [
                .text(message.id.rawValue), .text(topic),
                .text(message.partitionKey?.rawValue ?? message.subject ?? message.id.rawValue),
                .text(message.type.rawValue), try payloadValue(of: envelope),
            ]
            for (_, attribute) in attributes.sorted(by: { $0.key < $1.key }) {
                values.append(headers.first { $0.name == attribute }.map { .text($0.value) } ?? .null)
            }
            let names = columns.map { "\"\($0)\"" }.joined(separator: ", ")
            var insertion: SQL = "INSERT INTO \(raw: quotedName) (\(raw: names)) VALUES ("
            for (index, value) in values.enumerated() { insertion += index == 0 ? "\(value)" : ", \(value)" }
            insertion += ")"
            // The log has the row all the same, and there is no table to clean up.
            let removal: SQL =
                "DELETE FROM \(raw: quotedName) WHERE \"\(raw: id)\" = \(SQLValue.text(message.id.rawValue))"
            return keepsRow ? [insertion] : [insertion, removal]
        }

        private func payloadValue(of envelope: Envelope<Bytes>) throws -> SQLValue {
            if payloadColumn == .bytes { return .bytes(envelope.payload) }
            guard let text = String(validating: envelope.payload, as: UTF8.self) else {
                throw DatabaseError(
                    .unencodableRow,
                    "The payload of the message '\(envelope.attributes.id)' is no text. Keep payloads in a column of the kind 'bytea', "
                        + "and set 'payloadColumn' to '.bytes'."
                )
            }
            // What is empty is no JSON.
            return text.isEmpty ? .null : .text(text)
        }
    }
#endif
