// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// Tables in the layout of Debezium's event router, read and written.
    @Suite(
        .serialized, .timeLimit(.minutes(10)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresEventTableTests {
        private static let further = [
            "traceparent": "traceparent", "happened_at": "time", "origin": "source", "headers": "dovetailheaders",
            "conversation": "correlationid", "shape": "messageversion", "media": "datacontenttype",
            "weather": "weather",
        ]

        /// A table as others have one, read by a relay; and written by the outbox, if it is said whether that keeps rows.
        private func withTable(
            payload: String = "JSONB", further: Bool = true, isPartitioned: Bool = false,
            keeping isKeeping: Bool? = nil, isPrepared: Bool = true,
            _ body: (LogShop, PostgresEventTable) async throws -> Void
        ) async throws {
            try await withTables { prefix in
                let table = PostgresEventTable(
                    "public.\(prefix)events", payloadColumn: payload == "BYTEA" ? .bytes : .text,
                    attributes: further ? Self.further : [:], topicPrefix: "outbox.event.", source: "/legacy")
                let outbox = isKeeping.map { PostgresOutbox.rows(in: table, keeping: $0) } ?? .log
                let shop = LogShop(prefix: prefix, LogShop.Options(outbox: outbox, table: table))
                let result: Result<Void, any Error>
                do {
                    try await shop.relay.database.open()
                    try await shop.ask(
                        """
                        CREATE TABLE \(raw: prefix)events (
                            id UUID NOT NULL, aggregatetype VARCHAR(255) NOT NULL, aggregateid VARCHAR(255) NOT NULL,
                            type VARCHAR(255) NOT NULL, payload \(raw: payload), traceparent TEXT, happened_at TIMESTAMPTZ,
                            origin TEXT, headers JSON, conversation TEXT, shape TEXT, media TEXT, weather TEXT
                        ) \(raw: isPartitioned ? "PARTITION BY LIST (aggregatetype)" : "")
                        """)
                    if isPartitioned {
                        try await shop.ask(
                            "CREATE TABLE \(raw: prefix)events_all PARTITION OF \(raw: prefix)events DEFAULT")
                    }
                    if isPrepared { try await shop.relay.prepare() }
                    try await body(shop, table)
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                await shop.close()
                try result.get()
            }
        }

        private func id(_ number: Int) -> String {
            "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - "\(number)".count) + "\(number)"
        }

        // MARK: Reading what others insert

        @Test("What others insert is published: identifier, topic, key, type, payload and further attributes")
        func reads() async throws {
            try await withTable { shop, table in
                let name = SQL(raw: table.quotedName)
                try await shop.ask(
                    """
                    INSERT INTO \(name) (id, aggregatetype, aggregateid, type, payload, traceparent, happened_at, origin,
                        headers, conversation, shape, weather)
                    VALUES (\(id(1)), 'order', 'order-7', 'OrderPlaced', '{"cents": 5}',
                        '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01', '2026-01-02 03:04:05.678+02', '/shop',
                        '{"a":"b"}', 'c-1', '3', 'fine')
                    """)
                // The least that there must be, removed at once, as is usual.
                try await shop.relay.database.withTransaction { tx in
                    try await tx.execute(
                        "INSERT INTO \(name) (id, aggregatetype, aggregateid, type) VALUES (\(id(2)), 'order', 'order-7', 'OrderPaid')"
                    )
                    try await tx.execute("DELETE FROM \(name) WHERE id = CAST(\(id(2)) AS UUID)")
                }
                try await shop.run { shop.sink.ids.count >= 2 }
                #expect(shop.sink.ids == [id(1), id(2)])
                let (full, bare) = (shop.sink.arrived[0], shop.sink.arrived[1].attributes)
                #expect(full.payload == Bytes(#"{"cents": 5}"#.utf8))
                let attributes = full.attributes
                #expect(attributes.topic == "outbox.event.order" && attributes.partitionKey == "order-7")
                #expect(attributes.type == "OrderPlaced" && attributes.version == 3 && attributes.source == "/shop")
                #expect(attributes.trace?.traceParent.text == "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
                #expect(attributes.time?.rfc3339 == "2026-01-02T01:04:05.678Z")
                #expect(attributes.headers["a"] == "b" && attributes.correlationID == "c-1")
                #expect(
                    attributes.extensions["weather"] == .string("fine") && attributes.contentType == "application/json")
                #expect(bare.source == "/legacy" && bare.version == 1 && bare.topic == "outbox.event.order")
                #expect(shop.sink.arrived[1].payload.isEmpty)
            }
        }

        @Test(
            "Rows and messages come in the order of commits; changes, roll-backs and other tables are nobody's business"
        )
        func order() async throws {
            try await withTable { shop, table in
                let name = SQL(raw: table.quotedName)
                func insert(_ number: Int) async throws {
                    try await shop.ask(
                        "INSERT INTO \(name) (id, aggregatetype, aggregateid, type) VALUES (\(id(number)), 'a', 'b', 'c')"
                    )
                }
                try await insert(1)
                try await shop.publish(["message"])
                try? await shop.relay.database.withTransaction { tx in
                    try await tx.execute(
                        "INSERT INTO \(name) (id, aggregatetype, aggregateid, type) VALUES (\(id(9)), 'a', 'b', 'c')")
                    throw CancellationError()
                }
                try await shop.ask("UPDATE \(name) SET type = 'd'")
                // As somebody may do by mistake.
                let other = SQL(raw: shop.prefix + "other")
                try await shop.ask("CREATE TABLE \(other) (id UUID)")
                try await shop.ask("ALTER PUBLICATION \"\(raw: shop.relay.slot)\" ADD TABLE \(other)")
                try await shop.ask("INSERT INTO \(other) VALUES (\(id(8)))")
                try await shop.ask(
                    """
                    INSERT INTO \(name) (id, aggregatetype, aggregateid, type)
                    SELECT CAST('00000000-0000-4000-8000-00000000010' || n AS UUID), 'a', 'b', 'c' FROM generate_series(0, 9) AS n
                    """)
                try await insert(2)
                try await shop.run { shop.sink.ids.contains(id(2)) }
                #expect(shop.firsts == [id(1), "message"] + (100..<110).map(id) + [id(2)])
                let letters = try await DeadLetterQueue(in: shop.relay.database).count()
                #expect(letters == 0)
            }
        }

        @Test("Bytes come as they are, and rows of a table in parts as those of the whole")
        func bytesInParts() async throws {
            try await withTable(payload: "BYTEA", isPartitioned: true) { shop, table in
                let bytes: Bytes = [0, 255, 92, 39, 128]
                try await shop.ask(
                    """
                    INSERT INTO \(raw: table.quotedName) (id, aggregatetype, aggregateid, type, payload, media)
                    VALUES (\(id(1)), 'order', 'o', 'OrderPlaced', \(bytes), 'application/octet-stream')
                    """)
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(shop.sink.arrived[0].payload == bytes)
                #expect(shop.sink.arrived[0].attributes.contentType == "application/octet-stream")
            }
        }

        @Test("A row that makes no message goes to the dead letters with all its columns, and the next ones go on")
        func undecodable() async throws {
            try await withTable { shop, table in
                let name = SQL(raw: table.quotedName)
                for (topic, time) in [("", "2026-01-01"), ("order", "infinity"), ("order", "2026-01-01")] {
                    try await shop.ask(
                        """
                        INSERT INTO \(name) (id, aggregatetype, aggregateid, type, payload, happened_at)
                        VALUES (\(id(1)), \(topic), 'b', 'c', '"é"', \(time))
                        """)
                }
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(shop.sink.ids == [id(1)])
                let letters = try await DeadLetterQueue(in: shop.relay.database).list(after: nil, limit: 10)
                #expect(letters.map(\.reason) == [.schemaMismatch, .schemaMismatch])
                for letter in letters {
                    guard case .undecodable(let bytes, _, _) = letter.content else {
                        Issue.record("It was taken for a message.")
                        continue
                    }
                    let text = String(decoding: bytes, as: UTF8.self)
                    #expect(text.contains(#""type":"c""#) && text.contains(#""payload":"\"é\"""#))
                    #expect(text.contains(#""origin":null"#))
                }
            }
        }

        @Test("A table that is not there, or not as described, is refused by name before anything is made")
        func wrongTable() async throws {
            try await withTable(isPrepared: false) { shop, table in
                var (nowhere, other, crooked, reserved, twice) = (table, table, table, table, table)
                nowhere.name = "nowhere"
                other.aggregateID = "aggregate_id"
                crooked.name = "a\"; DROP TABLE b"
                reserved.attributes["origin"] = "id"
                twice.attributes["type"] = "subject"
                for (table, text) in [
                    (nowhere, "no table 'nowhere'"), (other, "'aggregate_id'"), (crooked, "no name"),
                    (reserved, "cannot hold"), (twice, "two purposes"),
                ] {
                    let relay = PostgresLogRelay(from: shop.database, to: shop.sink, reading: table)
                    let error = await #expect(throws: DatabaseError.self) { try await relay.prepare() }
                    #expect(error?.code == .unsupported && error?.message.contains(text) == true, "\(text)")
                }
                let made = try await shop.ask(
                    "SELECT 1 FROM pg_publication WHERE pubname = \(shop.relay.slot)")
                #expect(made.isEmpty)
            }
        }

        @Test("A relay that has read only messages reads a table from when it is told to")
        func addedLater() async throws {
            try await withTable { shop, table in
                try await shop.relay.remove()
                try await PostgresLogRelay(from: shop.database, to: shop.sink).prepare()
                try await shop.relay.prepare()
                try await shop.ask(
                    """
                    INSERT INTO \(raw: table.quotedName) (id, aggregatetype, aggregateid, type)
                    VALUES (\(id(1)), 'order', 'o', 'OrderPlaced')
                    """)
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(shop.sink.ids == [id(1)])
            }
        }

        // MARK: Writing what others publish

        private var sample: Envelope<Bytes> {
            var attributes = EnvelopeAttributes(
                id: MessageID(id(1)), source: "/shop", type: "OrderPlaced", topic: "outbox.event.order")
            attributes.partitionKey = "order-7"
            attributes.version = 2
            attributes.time = Timestamp(secondsSinceEpoch: 1_700_000_000, nanoseconds: 123_000_000)
            attributes.correlationID = "c-1"
            attributes.headers = ["a": "b"]
            attributes.contentType = "application/json"
            return Envelope(attributes, payload: Bytes(#"{"cents": 5}"#.utf8))
        }

        @Test("A message is written as a row of that layout, and comes back as it was", arguments: [false, true])
        func writes(isKeeping: Bool) async throws {
            try await withTable(keeping: isKeeping) { shop, table in
                try await shop.database.withTransaction { tx in
                    try await shop.database.outboxStore.append([sample], serializing: false, in: tx)
                    let rows = try await tx.query(
                        """
                        SELECT CAST(id AS TEXT), aggregatetype, aggregateid, type, CAST(payload AS TEXT), conversation
                        FROM \(raw: table.quotedName)
                        """)
                    #expect(rows.count == (isKeeping ? 1 : 0))
                    if let row = rows.first {
                        let texts = try (0..<6).map { try row.text($0) }
                        #expect(texts == [id(1), "order", "order-7", "OrderPlaced", #"{"cents": 5}"#, "c-1"])
                    }
                }
                #expect(try await shop.database.outboxStore.statistics().unsent == 0)
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(shop.sink.arrived[0].attributes == sample.attributes)
                #expect(shop.sink.arrived[0].payload == sample.payload)
            }
        }

        @Test("Any bytes are written to a column of bytes; to one of text only text, and nothing for nothing")
        func payloads() async throws {
            var binary = sample
            binary.payload = [0, 255, 92]
            var empty = sample
            empty.payload = []
            try await withTable(payload: "BYTEA", keeping: false) { shop, _ in
                try await shop.database.withTransaction { tx in
                    try await shop.database.outboxStore.append([binary, empty], serializing: false, in: tx)
                }
                try await shop.run { shop.sink.ids.count == 2 }
                #expect(shop.sink.arrived.map(\.payload) == [binary.payload, []])
            }
            try await withTable(keeping: false) { shop, _ in
                let error = await #expect(throws: DatabaseError.self) {
                    try await shop.database.withTransaction { tx in
                        try await shop.database.outboxStore.append([binary], serializing: false, in: tx)
                    }
                }
                #expect(error?.code == .unencodableRow && error?.message.contains("bytea") == true)
                try await shop.database.withTransaction { tx in
                    try await shop.database.outboxStore.append([empty], serializing: false, in: tx)
                }
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(shop.sink.arrived.map(\.payload) == [[]])
            }
        }

        @Test("Without a partition key the aggregate is the subject, or else the message itself")
        func aggregate() throws {
            let table = PostgresEventTable("outbox")
            var envelope = sample
            envelope.attributes.partitionKey = nil
            #expect(try table.statements(for: envelope, keepsRow: true)[0].parameters[2] == .text(id(1)))
            envelope.attributes.subject = "order 7"
            #expect(try table.statements(for: envelope, keepsRow: true)[0].parameters[2] == .text("order 7"))
        }
    }
#endif
