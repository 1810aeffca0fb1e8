// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Synchronization
import Testing

@testable import DovetailSQL

private struct Oops: Error, Equatable {}

private func failure(_ code: DatabaseError.Code) -> DatabaseError { DatabaseError(code, "scripted") }

/// Something that one task tells others.
private final class Flag: Sendable {
    private let value = Atomic(false)
    var isSet: Bool { value.load(ordering: .acquiring) }
    func set() { value.store(true, ordering: .releasing) }
}

@Suite(.timeLimit(.minutes(5)))
struct SQLGroupingTests {
    private typealias Scripted = SQLDatabase<ScriptedPool>

    /// Has one begin and stay in its body until others have joined, and runs all to their end.
    ///
    /// - Returns: What came of each, the first one first.
    private func run(
        in database: Scripted, first: String = "A", _ others: [@Sendable (Scripted.Transaction) async throws -> Void]
    ) async -> [Result<Void, any Error>] {
        let (hasBegun, haveCome) = (Flag(), Flag())
        return await withTaskGroup(of: (Int, Result<Void, any Error>).self) { group in
            group.addTask {
                await (
                    0,
                    result {
                        try await database.withGroupedTransaction { tx in
                            try await tx.execute(SQL(raw: first))
                            hasBegun.set()
                            // Once: when it is run again, the others are not in line.
                            while !haveCome.isSet, database.core.group.waiting < others.count, !Task.isCancelled {
                                await Task.yield()
                            }
                            haveCome.set()
                        }
                    }
                )
            }
            while !hasBegun.isSet, !Task.isCancelled { await Task.yield() }
            for (index, body) in others.enumerated() {
                group.addTask { await (index + 1, result { try await database.withGroupedTransaction(body) }) }
                // So that they stand in line in this order; the first goes on when the last has come.
                while index + 1 < others.count, database.core.group.waiting == index, !Task.isCancelled {
                    await Task.yield()
                }
            }
            var results: [(Int, Result<Void, any Error>)] = []
            for await result in group { results.append(result) }
            return results.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private func result(_ body: () async throws -> Void) async -> Result<Void, any Error> {
        do { return .success(try await body()) } catch { return .failure(error) }
    }

    @Test("One that comes alone sends what it would send without the others")
    func alone() async throws {
        let (database, connection) = try await scriptedDatabase(inTurn: true)
        try await database.withGroupedTransaction { tx in try await tx.execute("A") }
        try await database.withGroupedTransaction { _ in }
        #expect(connection.texts == ["BEGIN IMMEDIATE", "A", "COMMIT"])
    }

    @Test("Those that are ready at the same time share a commit")
    func sharing() async throws {
        let (database, connection) = try await scriptedDatabase(inTurn: true)
        let results = await run(
            in: database,
            [
                { tx in try await tx.execute("B") }, { _ in },
                { tx in
                    try await tx.execute("C")
                    try tx.send("D")
                },
            ])
        for result in results { try result.get() }
        #expect(
            connection.texts == [
                "BEGIN IMMEDIATE", "A", "SAVEPOINT dovetail_part", "B", "RELEASE dovetail_part",
                "SAVEPOINT dovetail_part", "C", "D", "RELEASE dovetail_part", "COMMIT",
            ])
    }

    @Test("What was put off by the first is carried out before the others write")
    func deferredOfTheFirst() async throws {
        let (database, connection) = try await scriptedDatabase(inTurn: true)
        let hasSent = Flag()
        async let first: Void = database.withGroupedTransaction { tx in
            try tx.send("A")
            hasSent.set()
            while database.core.group.waiting < 1, !Task.isCancelled { await Task.yield() }
        }
        while !hasSent.isSet, !Task.isCancelled { await Task.yield() }
        try await database.withGroupedTransaction { tx in try await tx.execute("B") }
        try await first
        #expect(
            connection.texts == [
                "BEGIN IMMEDIATE", "A", "SAVEPOINT dovetail_part", "B", "RELEASE dovetail_part", "COMMIT",
            ])
    }

    @Test("A body that throws loses only what it wrote")
    func bodyThrows() async throws {
        let (database, connection) = try await scriptedDatabase(inTurn: true)
        let actions = Atomic(0)
        let results = await run(
            in: database,
            [
                { tx in
                    tx.afterCommit { actions.add(1, ordering: .relaxed) }
                    try await tx.execute("B")
                    throw Oops()
                },
                { tx in
                    tx.afterCommit { actions.add(10, ordering: .relaxed) }
                    try await tx.execute("C")
                },
            ])
        try results[0].get()
        #expect(throws: Oops.self) { try results[1].get() }
        try results[2].get()
        #expect(
            connection.texts == [
                "BEGIN IMMEDIATE", "A", "SAVEPOINT dovetail_part", "B", "ROLLBACK TO dovetail_part",
                "RELEASE dovetail_part", "SAVEPOINT dovetail_part", "C", "RELEASE dovetail_part", "COMMIT",
            ])
        #expect(actions.load(ordering: .relaxed) == 10)
    }

    @Test("When the first one throws, the next one leads")
    func firstThrows() async throws {
        let (database, connection) = try await scriptedDatabase(inTurn: true) { statement in
            if statement.text == "A" { throw failure(.constraintViolated) }
            return SQLResult()
        }
        let hasBegun = Flag()
        let first = Task {
            try await database.withGroupedTransaction { tx in
                hasBegun.set()
                while database.core.group.waiting < 2, !Task.isCancelled { await Task.yield() }
                _ = try await tx.execute("A")
            }
        }
        while !hasBegun.isSet, !Task.isCancelled { await Task.yield() }
        async let second: Void = database.withGroupedTransaction { tx in try await tx.execute("B") }
        async let third: Void = database.withGroupedTransaction { tx in try await tx.execute("B") }
        await #expect(throws: DatabaseError.self) { try await first.value }
        try await second
        try await third
        let texts = connection.texts
        #expect(texts.prefix(3) == ["BEGIN IMMEDIATE", "A", "ROLLBACK"])
        #expect(texts.count { $0 == "B" } == 2 && texts.last == "COMMIT")
    }

    @Test("When the shared commit fails, each is run again, alone, and only the one at fault fails")
    func commitFails() async throws {
        // As a deferred rule of the user's would: nothing that has "B" in it can commit.
        let written = Mutex<[String]>([])
        let (database, connection) = try await scriptedDatabase(inTurn: true) { statement in
            try written.withLock { written in
                if statement.text.hasPrefix("BEGIN") { written = [] }
                if ["A", "B", "C"].contains(statement.text) { written.append(statement.text) }
                if statement.text == "COMMIT", written.contains("B") { throw failure(.constraintViolated) }
            }
            return SQLResult()
        }
        let results = await run(
            in: database, [{ tx in try await tx.execute("B") }, { tx in try await tx.execute("C") }])
        try results[0].get()
        #expect(throws: DatabaseError.self) { try results[1].get() }
        try results[2].get()
        let texts = connection.texts
        #expect(texts.count { $0 == "BEGIN IMMEDIATE" } == 4 && texts.count { $0 == "COMMIT" } == 4)
        #expect(texts.count { $0.hasPrefix("SAVEPOINT") } == 2)
    }

    @Test("What cannot be rolled back alone is not committed with the rest")
    func partCannotBeRolledBack() async throws {
        // As SQLite does when the disk is full: the whole transaction is gone.
        let fails = Atomic(true)
        let (database, connection) = try await scriptedDatabase(inTurn: true) { statement in
            if statement.text.hasPrefix("ROLLBACK TO") { throw failure(.full) }
            if statement.text == "B", fails.exchange(false, ordering: .relaxed) { throw failure(.full) }
            return SQLResult()
        }
        let results = await run(
            in: database, [{ tx in try await tx.execute("B") }, { tx in try await tx.execute("C") }])
        for result in results { try result.get() }
        let texts = connection.texts
        let end = try #require(texts.firstIndex(of: "ROLLBACK"))
        #expect(!texts[..<end].contains("COMMIT"))
        #expect(texts[end...].count { $0 == "COMMIT" } == 3)
    }

    @Test("One that is cancelled while it waits takes no part, and holds nobody up")
    func cancelled() async throws {
        let (database, connection) = try await scriptedDatabase(inTurn: true)
        let hasBegun = Flag()
        let mayGoOn = Flag()
        async let first: Void = database.withGroupedTransaction { tx in
            try await tx.execute("A")
            hasBegun.set()
            while !mayGoOn.isSet, !Task.isCancelled { await Task.yield() }
        }
        while !hasBegun.isSet, !Task.isCancelled { await Task.yield() }
        let second = Task { try await database.withGroupedTransaction { tx in try await tx.execute("B") } }
        while database.core.group.waiting < 1, !Task.isCancelled { await Task.yield() }
        second.cancel()
        await #expect(throws: CancellationError.self) { try await second.value }
        mayGoOn.set()
        try await first
        try await database.withGroupedTransaction { tx in try await tx.execute("C") }
        #expect(!connection.texts.contains("B"))
        #expect(connection.texts.count { $0 == "COMMIT" } == 2)
    }

    @Test("A commit has so many members at most")
    func bounded() async throws {
        let (database, connection) = try await scriptedDatabase(inTurn: true)
        let most = SQLCommitGroup<ScriptedConnection>.mostMembers
        let results = await run(
            in: database, (0..<most).map { number in { tx in try await tx.execute(SQL(raw: "B\(number)")) } })
        for result in results { try result.get() }
        #expect(connection.texts.count { $0 == "COMMIT" } == 2)
    }

    @Test("Where transactions run side by side each commits for itself")
    func sideBySide() async throws {
        let (database, connection) = try await scriptedDatabase(dialect: .postgreSQL, inTurn: true)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<4 {
                group.addTask { try await database.withGroupedTransaction { tx in _ = try await tx.execute("A") } }
            }
            try await group.waitForAll()
        }
        #expect(connection.texts.count { $0 == "COMMIT" } == 4 && !connection.texts.contains { $0.hasPrefix("SAVE") })
    }
}
