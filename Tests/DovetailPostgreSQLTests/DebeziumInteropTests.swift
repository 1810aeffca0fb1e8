// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Foundation
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// What Debezium itself makes of the rows that we write.
    ///
    /// It is large and needs Java 17, so this runs only where `DOVETAIL_DEBEZIUM` names the folder of its libraries, see
    /// `Tests/Services/README.md`.
    @Suite(
        .serialized, .timeLimit(.minutes(10)),
        .disabled(
            if: Server.isMissing || Debezium.libraries == nil,
            "DOVETAIL_DEBEZIUM is not set, see Tests/Services/README.md"))
    struct DebeziumInteropTests {
        @Test("Debezium's event router publishes what we write: topic, key, payload and further columns")
        func readsOurs() async throws {
            try await withTables { prefix in
                let table = PostgresEventTable(
                    "public.\(prefix)events", attributes: ["traceparent": "traceparent", "origin": "source"])
                let shop = LogShop(prefix: prefix, LogShop.Options(outbox: .rows(in: table)))
                let result: Result<Void, any Error>
                do {
                    try await shop.database.open()
                    try await shop.ask(
                        """
                        CREATE TABLE \(raw: prefix)events (
                            id UUID PRIMARY KEY, aggregatetype TEXT NOT NULL, aggregateid TEXT NOT NULL, type TEXT NOT NULL,
                            payload JSONB, traceparent TEXT, origin TEXT
                        )
                        """)
                    let lines = try await Debezium.read(3, of: table, prefix: prefix) {
                        // Before it streams, it has yet to note from where on, and what was written until then is not for it.
                        try await untilTrue {
                            try await !shop.ask(
                                """
                                SELECT 1 FROM pg_replication_slots s JOIN pg_stat_replication r ON r.pid = s.active_pid
                                WHERE s.slot_name = \(prefix + "debezium") AND r.state = 'streaming'
                                """
                            ).isEmpty
                        }
                        for number in 1...3 {
                            try await shop.database.withTransaction { tx in
                                var envelope = message(
                                    "00000000-0000-4000-8000-00000000000\(number)",
                                    key: PartitionKey("order-\(number)"),
                                    topic: "order")
                                envelope.payload = Bytes("{\"n\":\(number)}".utf8)
                                try await shop.database.outboxStore.append([envelope], serializing: false, in: tx)
                            }
                        }
                    }
                    #expect(lines.count == 3)
                    for (number, line) in zip(1..., lines) {
                        #expect(line.starts(with: ["outbox.event.order", "\"order-\(number)\"", "{\"n\":\(number)}"]))
                        let headers = Set(line.dropFirst(3).map { $0.replacing("\"", with: "") })
                        #expect(headers.contains("id=00000000-0000-4000-8000-00000000000\(number)"))
                        #expect(headers.contains("type=test.happened") && headers.contains("source=/test"))
                    }
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                _ = try? await shop.ask("SELECT pg_drop_replication_slot(\(prefix + "debezium"))")
                _ = try? await shop.ask("DROP PUBLICATION IF EXISTS \"\(raw: prefix)debezium\"")
                await shop.close()
                try result.get()
            }
        }
    }

    /// A Debezium of one's own.
    private enum Debezium {
        static let libraries = ProcessInfo.processInfo.environment["DOVETAIL_DEBEZIUM"].flatMap {
            $0.isEmpty ? nil : $0
        }

        /// Runs it until it has published so many events, each as its topic, key, value and headers.
        static func read(
            _ count: Int, of table: PostgresEventTable, prefix: String, while body: () async throws -> Void
        ) async throws -> [[String]] {
            let folder = FileManager.default.temporaryDirectory.appendingPathComponent("\(prefix)debezium")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            defer { try? FileManager.default.removeItem(at: folder) }
            let server = URLComponents(string: Server.address ?? "") ?? URLComponents()
            let properties = """
                name=dovetail
                connector.class=io.debezium.connector.postgresql.PostgresConnector
                offset.storage=org.apache.kafka.connect.storage.FileOffsetBackingStore
                offset.storage.file.filename=\(folder.path)/offsets
                offset.flush.interval.ms=500
                plugin.name=pgoutput
                slot.name=\(prefix)debezium
                publication.name=\(prefix)debezium
                publication.autocreate.mode=filtered
                snapshot.mode=no_data
                database.hostname=\(server.host ?? "127.0.0.1")
                database.port=\(server.port ?? 5432)
                database.user=\(server.user ?? "dovetail")
                database.password=\(server.password ?? "none")
                database.dbname=\(server.path.dropFirst())
                topic.prefix=dovetail
                table.include.list=\(table.name)
                tombstones.on.delete=false
                transforms=outbox
                transforms.outbox.type=io.debezium.transforms.outbox.EventRouter
                transforms.outbox.table.expand.json.payload=true
                transforms.outbox.table.fields.additional.placement=type:header:type,origin:header:source
                key.converter.schemas.enable=false
                value.converter.schemas.enable=false
                header.converter.schemas.enable=false
                """
            let file = folder.appendingPathComponent("debezium.properties")
            try properties.write(to: file, atomically: true, encoding: .utf8)
            let tests = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
            process.arguments = [
                "java", "-Xmx512m", "-cp", (libraries ?? "") + "/*",
                tests.appendingPathComponent("Interop/Debezium.java").path, file.path, String(count),
            ]
            let output = folder.appendingPathComponent("output")
            try Data().write(to: output)
            process.standardOutput = try FileHandle(forWritingTo: output)
            let errors = folder.appendingPathComponent("errors")
            try Data().write(to: errors)
            process.standardError = try FileHandle(forWritingTo: errors)
            try process.run()
            defer { if process.isRunning { process.terminate() } }
            try await body()
            try await untilTrue { !process.isRunning }
            if process.terminationStatus != 0 {
                let why = try String(contentsOf: errors, encoding: .utf8).split(separator: "\n")
                    .filter { !$0.hasPrefix("\tat ") && !$0.contains("DEBUG") }.suffix(20).joined(separator: "\n")
                Issue.record("Debezium ended with \(process.terminationStatus):\n\(why)")
            }
            let text = try String(contentsOf: output, encoding: .utf8)
            return text.split(separator: "\n").map { $0.split(separator: "\t").map(String.init) }
                .filter { $0.first?.hasPrefix("outbox.event.") == true }
        }
    }
#endif
