// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailTesting
import Synchronization
import Testing

@testable import DovetailSQL

private struct Oops: Error, Equatable {}

private func failure(_ code: DatabaseError.Code) -> DatabaseError { DatabaseError(code, "scripted") }

private func message(_ id: String) -> Envelope<Bytes> {
    Envelope(EnvelopeAttributes(id: MessageID(id), source: "/test", type: "test.happened"), payload: [1])
}

@Suite struct SQLTransactionTests {
    // MARK: What is sent

    @Test("A transaction begins with its first statement and commits at its end")
    func beginsLate() async throws {
        let (database, connection) = try await scriptedDatabase()
        try await database.withTransaction { tx in
            #expect(connection.texts == [])
            try await tx.execute("A \(1)")
            #expect(connection.texts == ["BEGIN IMMEDIATE", "A ?1"])
            _ = try await tx.query("B")
        }
        #expect(connection.texts == ["BEGIN IMMEDIATE", "A ?1", "B", "COMMIT"])
    }

    @Test("A transaction without a statement sends none")
    func emptySendsNothing() async throws {
        let (database, connection) = try await scriptedDatabase()
        try await database.withTransaction { _ in }
        try await database.withReadTransaction { _ in }
        await #expect(throws: Oops.self) { try await database.withTransaction { _ in throw Oops() } }
        #expect(connection.texts == [])
    }

    @Test("A transaction whose body throws rolls back, and the error is the caller's")
    func rollsBack() async throws {
        let (database, connection) = try await scriptedDatabase()
        await #expect(throws: Oops.self) {
            try await database.withTransaction { tx in
                try await tx.execute("A")
                throw Oops()
            }
        }
        #expect(connection.texts == ["BEGIN IMMEDIATE", "A", "ROLLBACK"])
    }

    @Test("An append travels with the next statement, before it, or with the commit")
    func appendsTravel() async throws {
        let (database, connection) = try await scriptedDatabase()
        let outbox = Outbox(in: database)
        try await database.withTransaction { tx in
            try await outbox.publish(message("1"), in: tx)
            #expect(connection.texts == [])
            try await tx.execute("A")
            #expect(connection.texts.count == 3 && connection.texts.last == "A")
            try await outbox.publish(message("2"), in: tx)
        }
        let texts = connection.texts
        #expect(texts.first == "BEGIN IMMEDIATE" && texts.last == "COMMIT" && texts.count == 5)
        #expect(texts[1].hasPrefix("INSERT INTO dovetail_outbox") && texts[3].hasPrefix("INSERT INTO dovetail_outbox"))
    }

    @Test("An append without another statement is sent with the commit")
    func appendAloneIsSent() async throws {
        let (database, connection) = try await scriptedDatabase()
        try await database.withTransaction { tx in try await Outbox(in: database).publish(message("1"), in: tx) }
        let texts = connection.texts
        #expect(texts.count == 3 && texts[1].hasPrefix("INSERT INTO dovetail_outbox") && texts[2] == "COMMIT")
    }

    @Test("The connection is lent with the transaction begun and what was put off carried out")
    func connectionIsLent() async throws {
        let (database, connection) = try await scriptedDatabase()
        try await database.withTransaction { tx in
            try await tx.withConnection { lent in
                #expect(connection.texts == ["BEGIN IMMEDIATE"])
                _ = try await lent.run(SQLStatement("A", []))
            }
            try await Outbox(in: database).publish(message("1"), in: tx)
            try await tx.withConnection { lent in
                #expect(connection.texts.count == 3)
                _ = try await lent.run(SQLStatement("B", []))
            }
        }
        let texts = connection.texts
        #expect(texts.count == 5 && texts[1] == "A" && texts[3] == "B" && texts[4] == "COMMIT")
        #expect(texts[2].hasPrefix("INSERT INTO dovetail_outbox"))
    }

    @Test("A body that failed on the connection lent to it leaves a roll-back only, where any failure does")
    func lentConnectionFailed() async throws {
        for dialect in [SQLDialect.sqlite, .postgreSQL] {
            let (database, connection) = try await scriptedDatabase(dialect: dialect)
            var failure: (any Error)?
            do {
                try await database.withTransaction { tx in
                    try await tx.execute("A")
                    try? await tx.withConnection { _ in throw Oops() }
                }
            } catch {
                failure = error
            }
            #expect((failure is Oops) == dialect.failureEndsTransaction)
            #expect(connection.texts.last == (dialect.failureEndsTransaction ? "ROLLBACK" : "COMMIT"))
        }
    }

    @Test("A connection is not lent once its transaction has ended")
    func connectionIsNotLentLater() async throws {
        let (database, connection) = try await scriptedDatabase()
        let kept = try await database.withTransaction { tx in
            try await tx.execute("A")
            return tx
        }
        await #expect { try await kept.withConnection { _ in } } throws: { error in
            (error as? DatabaseError)?.code == .transactionEnded
        }
        #expect(connection.texts.last == "COMMIT")
    }

    // MARK: Failures

    @Test("A statement that fails is the caller's affair, and the transaction can commit")
    func failedStatementIsLeftOut() async throws {
        let (database, connection) = try await scriptedDatabase { statement in
            if statement.text == "BAD" { throw failure(.constraintViolated) }
            return SQLResult(changes: 3)
        }
        for isFirst in [true, false] {
            connection.clear()
            try await database.withTransaction { tx in
                if !isFirst { try await tx.execute("A") }
                await #expect(throws: DatabaseError.self) { try await tx.execute("BAD") }
                #expect(try await tx.execute("B") == 3)
            }
            #expect(connection.texts.suffix(3) == ["BAD", "B", "COMMIT"])
        }
    }

    @Test("Of several statements each gives its rows, behind what was put off; one that fails leaves nothing to commit")
    func failureAmongSeveral() async throws {
        let (database, connection) = try await scriptedDatabase { statement in
            if statement.text == "BAD" { throw failure(.constraintViolated) }
            return SQLResult(rows: [row(.text(statement.text))])
        }
        try await database.withTransaction { tx in
            try tx.send("PUT OFF")
            let rows = try await tx.query(["A", "B \(1)"] as [SQL])
            #expect(try rows.map { try $0.map { try $0.text(0) } } == [["A"], ["B ?1"]])
        }
        #expect(connection.texts == ["BEGIN IMMEDIATE", "PUT OFF", "A", "B ?1", "COMMIT"])
        connection.clear()
        let error = await #expect(throws: DatabaseError.self) {
            try await database.withTransaction { tx in
                _ = try? await tx.query(["A", "BAD", "B"] as [SQL])
            }
        }
        #expect(error?.code == .constraintViolated)
        #expect(connection.texts == ["BEGIN IMMEDIATE", "A", "BAD", "ROLLBACK"])
    }

    @Test("Where a failed statement ends the transaction, it cannot commit although the body goes on")
    func failedStatementEndsTransaction() async throws {
        let (database, connection) = try await scriptedDatabase(dialect: .postgreSQL) { statement in
            if statement.text == "BAD" { throw failure(.constraintViolated) }
            return SQLResult()
        }
        for isFirst in [true, false] {
            connection.clear()
            let error = await #expect(throws: DatabaseError.self) {
                try await database.withTransaction { tx in
                    if !isFirst { try await tx.execute("A \(1)") }
                    _ = try? await tx.execute("BAD")
                }
            }
            #expect(error?.code == .constraintViolated)
            #expect(connection.texts.last == "ROLLBACK")
            if !isFirst { #expect(connection.texts.contains("A $1")) }
        }
    }

    @Test("A transaction that others got in the way of is run again, whatever its body made of that")
    func runsAgainAfterAnotherError() async throws {
        struct Oops: Error {}
        let left = Mutex(1)
        let (database, connection) = try await scriptedDatabase(dialect: .postgreSQL) { statement in
            guard statement.text == "A" else { return SQLResult() }
            try left.withLock { left in
                left -= 1
                if left >= 0 { throw failure(.serializationFailure) }
            }
            return SQLResult()
        }
        try await database.withTransaction { tx in
            do { try await tx.execute("A") } catch { throw Oops() }
        }
        #expect(connection.texts.count { $0 == "A" } == 2)
    }

    @Test("When an append fails that was put off, the transaction cannot commit although the body goes on")
    func failedAppendCannotCommit() async throws {
        let (database, connection) = try await scriptedDatabase { statement in
            if statement.text.hasPrefix("INSERT INTO dovetail_outbox") { throw failure(.full) }
            return SQLResult()
        }
        let wakeUp = try #require(database.outboxStore.wakeUp)
        let error = await #expect(throws: DatabaseError.self) {
            try await database.withTransaction { tx in
                try await Outbox(in: database).publish(message("1"), in: tx)
                _ = try? await tx.execute("A")
                _ = try? await tx.execute("B")
            }
        }
        #expect(error?.code == .full)
        #expect(connection.texts.last == "ROLLBACK" && !connection.texts.contains("COMMIT"))
        #expect(!connection.texts.contains("A") && !connection.texts.contains("B"))
        #expect(try await !wakeUp.wait(atMost: .zero))
    }

    @Test("A commit that fails rolls back, and nothing is run that waits for it")
    func failedCommitRollsBack() async throws {
        let (database, connection) = try await scriptedDatabase { statement in
            if statement.text == "COMMIT" { throw failure(.full) }
            return SQLResult()
        }
        let runs = Atomic(0)
        await #expect(throws: DatabaseError.self) {
            try await database.withTransaction { tx in
                tx.afterCommit { runs.add(1, ordering: .relaxed) }
                try await tx.execute("A")
            }
        }
        #expect(connection.texts == ["BEGIN IMMEDIATE", "A", "COMMIT", "ROLLBACK"])
        #expect(runs.load(ordering: .relaxed) == 0)
    }

    @Test(
        "A transaction is run again after a serialization failure or a deadlock, ten times at most, and after nothing else"
    )
    func runsAgain() async throws {
        for code in [.serializationFailure, .deadlock] as [DatabaseError.Code] {
            let left = Mutex(3)
            let (database, connection) = try await scriptedDatabase { statement in
                guard statement.text == "COMMIT" else { return SQLResult() }
                try left.withLock { left in
                    left -= 1
                    if left >= 0 { throw failure(code) }
                }
                return SQLResult()
            }
            try await database.withTransaction { tx in _ = try await tx.execute("A") }
            #expect(connection.texts.count { $0 == "BEGIN IMMEDIATE" } == 4)
            left.withLock { $0 = .max }
            connection.clear()
            await #expect(throws: DatabaseError.self) {
                try await database.withTransaction { tx in _ = try await tx.execute("A") }
            }
            #expect(connection.texts.count { $0 == "BEGIN IMMEDIATE" } == 10)
        }
        let (database, connection) = try await scriptedDatabase { statement in
            if statement.text == "COMMIT" { throw failure(.full) }
            return SQLResult()
        }
        await #expect(throws: DatabaseError.self) {
            try await database.withTransaction { tx in _ = try await tx.execute("A") }
        }
        #expect(connection.texts.count { $0 == "BEGIN IMMEDIATE" } == 1)
    }

    // MARK: Misuse

    @Test(
        "A statement that would begin or end a transaction is refused by name",
        arguments: [
            "BEGIN", " commit", "END TRANSACTION", "rollback", "\n\tROLLBACK;", "Commit;", "COMMIT/**/", "-- x\nCOMMIT",
        ]
    )
    func transactionControlIsRefused(_ text: String) async throws {
        let (database, connection) = try await scriptedDatabase()
        try await database.withTransaction { tx in
            let error = await #expect(throws: DatabaseError.self) { try await tx.execute(SQL(raw: text)) }
            #expect(error?.code == .invalidStatement)
            let other = await #expect(throws: DatabaseError.self) { _ = try await tx.query(SQL(raw: text)) }
            #expect(other?.code == .invalidStatement)
        }
        #expect(connection.texts == [])
        try await database.withTransaction { tx in
            for good in ["SAVEPOINT a", "ROLLBACK TO a", "RELEASE a", "ENDGAME", "SELECT 'COMMIT'"] {
                try await tx.execute(SQL(raw: good))
            }
        }
    }

    @Test("A transaction that only reads refuses to write before anything is sent")
    func readerIsRefused() async throws {
        let (database, connection) = try await scriptedDatabase()
        try await database.withReadTransaction { tx in
            let error = await #expect(throws: DatabaseError.self) { try await tx.execute("A") }
            #expect(error?.code == .readOnlyTransaction)
            let other = await #expect(throws: DatabaseError.self) {
                try await Outbox(in: database).publish(message("1"), in: tx)
            }
            #expect(other?.code == .readOnlyTransaction)
        }
        #expect(connection.texts == [])
    }

    // MARK: Migrations

    @Test("Tables of a later release are refused, with both versions named")
    func laterSchemaIsRefused() async throws {
        let connection = ScriptedConnection { statement in
            statement.text.hasPrefix("SELECT version") ? SQLResult(rows: [row(7, nil)]) : SQLResult()
        }
        let database = SQLDatabase(ScriptedPool(connection: connection))
        let error = await #expect(throws: DatabaseError.self) { try await database.open() }
        #expect(error?.code == .incompatibleSchema)
        #expect(error?.message.contains("version 7") == true && error?.message.contains("up to 2") == true)
        #expect(connection.texts.last == "ROLLBACK" && !connection.texts.contains { $0.contains("CREATE INDEX") })
    }

    @Test("Tables of another service are refused, with both services named")
    func foreignSchemaIsRefused() async throws {
        let connection = ScriptedConnection { statement in
            statement.text.hasPrefix("SELECT version") ? SQLResult(rows: [row(1, "shop")]) : SQLResult()
        }
        func open(_ service: String?) async throws {
            try await SQLDatabase(ScriptedPool(connection: connection), settings: SQLSettings(service: service)).open()
        }
        let error = await #expect(throws: DatabaseError.self) { try await open("billing") }
        #expect(error?.code == .foreignSchema)
        #expect(error?.message.contains("'shop'") == true && error?.message.contains("'billing'") == true)
        try await open("shop")
        try await open(nil)
    }

    @Test("What could not be opened is tried again by the next one")
    func openingIsTriedAgain() async throws {
        let isBroken = Atomic(true)
        let connection = ScriptedConnection { _ in
            if isBroken.load(ordering: .relaxed) { throw failure(.cannotOpen) }
            return SQLResult()
        }
        let database = SQLDatabase(ScriptedPool(connection: connection))
        await #expect(throws: DatabaseError.self) { try await database.open() }
        await #expect(throws: DatabaseError.self) { try await database.withTransaction { _ in } }
        isBroken.store(false, ordering: .relaxed)
        try await database.open()
        connection.clear()
        try await database.open()
        #expect(connection.texts == [])
    }
}
