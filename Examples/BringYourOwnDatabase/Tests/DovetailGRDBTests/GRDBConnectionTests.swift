// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailGRDB
import DovetailSQL
import GRDB
import Testing

private struct Note: Codable, FetchableRecord, PersistableRecord {
    static let databaseTableName = "notes"
    let text: String
}

private struct Oops: Error {}

@Suite(.timeLimit(.minutes(1)))
struct GRDBConnectionTests {
    private func opened(_ folder: TemporaryFolder) async throws -> SQLDatabase<GRDBConnectionPool> {
        let database = SQLDatabase(try GRDBConnectionPool(folder.newFile()))
        try await database.withTransaction { tx in
            try await tx.execute("CREATE TABLE notes (text TEXT NOT NULL UNIQUE ON CONFLICT ROLLBACK)")
        }
        return database
    }

    private func notes(in database: SQLDatabase<GRDBConnectionPool>) async throws -> [String] {
        try await database.withReadTransaction { tx in
            try await tx.withConnection { connection in
                try await connection.perform { db in try Note.fetchAll(db).map(\.text) }
            }
        }
    }

    @Test("A record that GRDB inserts commits and rolls back with the rest of its transaction")
    func records() async throws {
        let folder = try TemporaryFolder()
        let database = try await opened(folder)
        let outbox = Outbox(in: database)
        let message = Envelope(EnvelopeAttributes(id: "1", source: "/test", type: "test.happened"), payload: Bytes())
        for fails in [true, false] {
            try? await database.withTransaction { tx in
                try await tx.withConnection { connection in
                    try await connection.perform { db in try Note(text: "first").insert(db) }
                }
                try await outbox.publish(message, in: tx)
                if fails { throw Oops() }
            }
            #expect(try await notes(in: database) == (fails ? [] : ["first"]))
            #expect(try await database.outboxStore.statistics().unsent == (fails ? 0 : 1))
        }
    }

    @Test("After SQLite has rolled back by itself nothing commits statement by statement")
    func rolledBackBySQLite() async throws {
        let folder = try TemporaryFolder()
        let database = try await opened(folder)
        try await database.withTransaction { tx in try await tx.execute("INSERT INTO notes VALUES ('there')") }
        await #expect(throws: DovetailCore.DatabaseError.self) {
            try await database.withTransaction { tx in
                try await tx.execute("INSERT INTO notes VALUES ('lost')")
                _ = try? await tx.execute("INSERT INTO notes VALUES ('there')")
                try await tx.execute("INSERT INTO notes VALUES ('alone')")
            }
        }
        #expect(try await notes(in: database) == ["there"])
    }

    @Test("A text that GRDB would cut is refused")
    func zeroCharacter() async throws {
        let folder = try TemporaryFolder()
        let database = try await opened(folder)
        await #expect { () async throws in
            try await database.withTransaction { tx in
                try await tx.execute("INSERT INTO notes VALUES (\("a\u{0}b"))")
            }
        } throws: { error in
            (error as? DovetailCore.DatabaseError)?.code == .unencodableRow
        }
        #expect(try await notes(in: database) == [])
    }
}
