// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailSQL

/// The character zero, of which PostgreSQL keeps none in a text, stops nobody who did not put it there.
@Suite struct SQLZeroCharacterTests {
    /// A database that keeps no text with the character zero, and to which every dead letter is new.
    private func database() async throws -> (SQLDatabase<ScriptedPool>, ScriptedConnection) {
        try await scriptedDatabase(dialect: .postgreSQL) { statement in
            for case .text(let text) in statement.parameters where text.utf8.contains(0) {
                throw DatabaseError(.unencodableRow, "scripted")
            }
            guard statement.text.hasPrefix("INSERT INTO dovetail_dead_letters ("), let id = statement.parameters.first
            else { return SQLResult() }
            return SQLResult(rows: [row(id)])
        }
    }

    private var envelope: Envelope<Bytes> {
        var attributes = EnvelopeAttributes(id: "1\u{0}", source: "/s\u{0}", type: "t\u{0}", topic: "orders")
        attributes.partitionKey = "k\u{0}"
        attributes.tenant = "acme\u{0}"
        attributes.headers = ["a": "\u{0}"]
        return Envelope(attributes, payload: [0])
    }

    private func letter(_ content: Delivery.Content) -> DeadLetter {
        DeadLetter(
            id: "letter", content: content, topic: "orders\u{0}", position: "\u{0}", consumer: "c\u{0}", attempts: 1,
            reason: .poison, failure: FailureDetail(type: "E\u{0}", place: "p\u{0}", message: "m\u{0}"), time: .epoch,
            queue: "q\u{0}", tier: "t\u{0}")
    }

    @Test("A dead letter is kept and found, whatever its message holds")
    func deadLetters() async throws {
        let (database, connection) = try await database()
        let letters = DeadLetterQueue(in: database)
        let error = MessageError(.invalidCloudEvent, "It has '\u{0}'.")
        let bytes = Delivery.Content.undecodable([0], headers: ["a\u{0}": "\u{0}"], error)
        for content in [Delivery.Content.envelope(envelope), bytes] {
            try await letters.capture([letter(content)])
        }
        #expect(connection.texts.count { $0.hasPrefix("INSERT INTO dovetail_dead_letter_groups") } == 2)
        let message: MessageID = "1\u{0}"
        #expect(try await letters.find(DeadLetterFilter(messages: [message])).isEmpty)
        #expect(try await letters.find(DeadLetterFilter(queue: "q\u{0}", tenant: "acme\u{0}")).isEmpty)
        #expect(try await letters.history(of: message).isEmpty)
        // They are looked for as they are kept.
        let asked = connection.statements.flatMap(\.parameters)
        #expect(asked.count { $0 == .text("1\u{FFFD}") } == 3)
        #expect(asked.contains(.text("acme\u{FFFD}")))
    }

    @Test("The lane of a key can be occupied and asked for, whatever the key holds")
    func waitingRooms() async throws {
        let (database, connection) = try await database()
        let room = database.waitingRoomStore
        let entry = WaitingEntry(
            consumer: "c", envelope: envelope, topic: "orders", position: "1",
            failure: FailureDetail(type: "E\u{0}", message: "m\u{0}"))
        #expect(try await room.occupied([entry.lane], for: "c").isEmpty)
        try await database.withTransaction { tx in
            try await room.admit([entry], after: .zero, in: tx)
            _ = try await room.admitFollowers([entry], in: tx)
        }
        #expect(connection.texts.last == "COMMIT")
        let read = try StoredAttributes.decode(StoredAttributes.encode(envelope.attributes), of: "row")
        #expect(read.partitionKey == envelope.partitionKey)
    }

    @Test("A message of any key is published, and so are those beside it")
    func transport() async throws {
        let (database, _) = try await database()
        let results = try await SQLTransport(in: database).publish([envelope])
        #expect(results.count == 1 && results.allSatisfy { $0.error == nil })
    }
}
