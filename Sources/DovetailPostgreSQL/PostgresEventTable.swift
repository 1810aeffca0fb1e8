// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    public import DovetailCore
    import DovetailSQL

    /// A table of events in the layout that Debezium's event router reads: a row for each message.
    ///
    /// ```sql
    /// CREATE TABLE outbox (
    ///     id UUID PRIMARY KEY, aggregatetype TEXT NOT NULL, aggregateid TEXT NOT NULL, type TEXT NOT NULL, payload JSONB,
    ///     traceparent TEXT
    /// );
    /// ```
    /// ```swift
    /// let table = PostgresEventTable("outbox", attributes: ["traceparent": "traceparent"])
    /// // Publishes what others insert:
    /// let relay = PostgresLogRelay(from: database, to: bus, reading: table)
    /// // Or writes what Debezium publishes:
    /// let database = PostgresDatabase("postgresql://shop@db.internal/shop", outbox: .rows(in: table))
    /// ```
    ///
    /// The identifier, the type and the payload of a message are columns; its topic is the aggregate type, its partition key the
    /// aggregate's identifier. Further columns hold attributes by their names in CloudEvents, such as `time`, `source`,
    /// `correlationid`, `traceparent` or `dovetailheaders`; an attribute without a column is not kept. Names of tables and columns are
    /// written as they stand in the catalogue: in small letters unless the table was made with quotes.
    public struct PostgresEventTable: Sendable, Hashable {
        /// What kind of column the payload is in.
        public struct PayloadColumn: Sendable, Hashable {
            private enum Base: String, Sendable { case text, bytes }
            private let base: Base

            /// `jsonb`, `json` or `text`.
            ///
            /// The default. PostgreSQL keeps what is equal in a `jsonb`, not the same bytes.
            public static let text = PayloadColumn(base: .text)

            /// `bytea`, for payloads that are not text.
            public static let bytes = PayloadColumn(base: .bytes)
        }

        /// The table, with its schema before it and a dot between, such as `shop.outbox`; without one, the first that is found.
        public var name: String

        /// The column with the identifier of the message.
        public var id: String

        /// The column with the aggregate type, which is the topic.
        public var aggregateType: String

        /// The column with the identifier of the aggregate, which is the partition key.
        public var aggregateID: String

        /// The column with the type of the message.
        public var type: String

        /// The column with the payload.
        public var payload: String

        /// What kind of column that is.
        public var payloadColumn: PayloadColumn

        /// Further columns, each with the name that its attribute has in CloudEvents.
        public var attributes: [String: String]

        /// What stands before the aggregate type in a topic; Debezium puts `outbox.event.` there unless told otherwise.
        public var topicPrefix: String

        /// The source of messages whose row says none.
        public var source: MessageSource

        /// The media type of payloads whose row says none.
        public var contentType: String

        /// Describes a table.
        ///
        /// - Parameters:
        ///   - name: The table, with its schema before it if it needs one.
        ///   - id: The column with the identifier of the message.
        ///   - aggregateType: The column with the aggregate type, which is the topic.
        ///   - aggregateID: The column with the identifier of the aggregate, which is the partition key.
        ///   - type: The column with the type of the message.
        ///   - payload: The column with the payload.
        ///   - payloadColumn: What kind of column that is.
        ///   - attributes: Further columns, each with the name that its attribute has in CloudEvents.
        ///   - topicPrefix: What stands before the aggregate type in a topic.
        ///   - source: The source of messages whose row says none; the name of the table behind a slash if `nil`.
        ///   - contentType: The media type of payloads whose row says none.
        public init(
            _ name: String, id: String = "id", aggregateType: String = "aggregatetype",
            aggregateID: String = "aggregateid", type: String = "type", payload: String = "payload",
            payloadColumn: PayloadColumn = .text, attributes: [String: String] = [:], topicPrefix: String = "",
            source: MessageSource? = nil, contentType: String = "application/json"
        ) {
            self.name = name
            self.id = id
            self.aggregateType = aggregateType
            self.aggregateID = aggregateID
            self.type = type
            self.payload = payload
            self.payloadColumn = payloadColumn
            self.attributes = attributes
            self.topicPrefix = topicPrefix
            self.source = source ?? MessageSource("/\(name)")
            self.contentType = contentType
        }

        /// The columns that a row must have, in the order in which they are written.
        var columns: [String] { [id, aggregateType, aggregateID, type, payload] + attributes.keys.sorted() }

        /// The table as it stands in a statement.
        var quotedName: String { name.split(separator: ".").map { "\"\($0)\"" }.joined(separator: ".") }

        /// Checks what goes into statements as it is.
        func validate() throws {
            let parts = name.split(separator: ".", omittingEmptySubsequences: false)
            let wrong = (parts.map(String.init) + columns).filter { !Self.isName($0) } + (parts.count > 2 ? [name] : [])
            guard wrong.isEmpty, Set(columns).count == columns.count else {
                throw DatabaseError(
                    .unsupported,
                    wrong.first.map {
                        "'\($0)' is no name of a table or a column. Use 1 to 63 letters, digits, underscores and hyphens, without quotes."
                    } ?? "A column of the table '\(name)' is named for two purposes. Give each a column of its own."
                )
            }
            let fixed: Set = ["id", "type", "partitionkey", "specversion", "data"]
            for (column, attribute) in attributes
            where fixed.contains(attribute) || attribute.isEmpty
                || !attribute.utf8.allSatisfy(Self.isSmallLetterOrDigit)
            {
                throw DatabaseError(
                    .unsupported,
                    "The column '\(column)' cannot hold the attribute '\(attribute)'. Name one of CloudEvents by its small letters and "
                        + "digits, other than \(fixed.sorted().joined(separator: ", ")), which are elsewhere."
                )
            }
        }

        private static func isName(_ text: String) -> Bool {
            (1...63).contains(text.utf8.count)
                && text.utf8.allSatisfy { byte in
                    isSmallLetterOrDigit(byte) || (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte)
                        || byte == UInt8(ascii: "_") || byte == UInt8(ascii: "-")
                }
        }

        private static func isSmallLetterOrDigit(_ byte: UInt8) -> Bool {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte)
                || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
        }
    }
#endif
