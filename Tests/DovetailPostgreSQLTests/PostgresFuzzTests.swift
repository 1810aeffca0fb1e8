// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Testing

    @testable import DovetailPostgreSQL

    @Suite(.timeLimit(.minutes(10))) struct PostgresFuzzTests {
        @Test("Any text is an address that keeps its password to itself, or is refused without a word of it")
        func addresses() async throws {
            let corpus = [
                "postgresql://shop:secret@localhost:5432/orders", "postgres://user:p%40ss@[::1]/a?sslmode=require",
                "host=localhost port=5432 dbname=orders user=shop password='sec ret' sslpassword=other",
                "postgresql:///orders?host=/tmp&password=secret",
            ].map { Bytes($0.utf8) }
            let tokens = [
                "postgresql://", "postgres://", "@", ":", "/", "[", "]", "%2F", "%", "%00", "?", "&", "password=", "'",
                "\\", "host=", "hostaddr=", "sslpassword=", " ", "=", "\u{0}",
            ]
            try await Fuzzing.run("PostgreSQL address", corpus, tokens: tokens) { bytes in
                let text = String(decoding: bytes, as: UTF8.self)
                do {
                    let address = try PostgresAddress(text)
                    let shown = address.redact("could not connect: \(text)")
                    // What is also part of what replaces it cannot be told from it.
                    let secret = address.secrets.first { !"could not connect: …".contains($0) && shown.contains($0) }
                    guard secret == nil else { throw Fuzzing.Broken("It shows the password: \(shown)") }
                } catch let error as DatabaseError {
                    guard error.code == .cannotOpen, !error.message.contains("secret"), !error.message.contains("p%40")
                    else { throw Fuzzing.Broken("\(error)") }
                }
            }
        }

        private static let table = PostgresEventTable(
            "outbox", payloadColumn: .bytes,
            attributes: ["source": "source", "at": "time", "trace": "traceparent", "extra": "tenant"])
        private static let kinds: [UInt32] = [25, 25, 25, 25, 17, 25, 1184, 25, 25]
        private static let names = [
            "id", "aggregatetype", "aggregateid", "type", "payload", "source", "at", "trace", "extra",
        ]

        /// Values between unit separators; one that is a substitute character alone stands for none.
        private static func row(_ bytes: Bytes) -> EventRow {
            let values = bytes.split(separator: 0x1F, omittingEmptySubsequences: false)
            return EventRow(
                columns: zip(names, kinds).map { LogMessage.Column(name: $0, type: $1) },
                values: values.map { $0 == [0x1A] ? nil : Bytes($0) })
        }

        @Test("Any row of a table of events is a message, or is refused and can be kept as what it was")
        func eventRows() async throws {
            let rows = [
                [
                    "1", "orders", "k", "shop.order.placed", "\\x7b7d", "/shop", "2026-01-01 10:00:00.5+00",
                    "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "t",
                ],
                ["2", "orders", "\u{1A}", "t", "\u{1A}", "\u{1A}", "\u{1A}", "\u{1A}", "\u{1A}"],
            ]
            let corpus = rows.map { Bytes($0.joined(separator: "\u{1F}").utf8) }
            let tokens = [
                "\u{1F}", "\u{1A}", "\\x", "\\000", "9999-12-31 23:59:60+14", "-infinity", "0044-01-01 BC", "+00",
            ]
            try await Fuzzing.run("row of events", corpus, tokens: tokens) { bytes in
                let row = Self.row(bytes)
                do {
                    let envelope = try Self.table.envelope(of: row)
                    guard !envelope.attributes.id.rawValue.isEmpty, !envelope.attributes.type.rawValue.isEmpty else {
                        throw Fuzzing.Broken("It has no name: \(envelope)")
                    }
                    _ = try Self.table.statements(for: envelope, keepsRow: true)
                } catch is MessageError {
                } catch let error as DatabaseError {
                    guard error.code == .undecodableRow else { throw error }
                }
                guard row.json.first == UInt8(ascii: "{"), String(validating: row.json, as: UTF8.self) != nil else {
                    throw Fuzzing.Broken("Kept as \(row.json)")
                }
            }
        }
    }
#endif
