// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency
import DovetailTesting
import Synchronization
import Testing

/// Requests with a key, and what a repeat of them gets.
@Suite(.timeLimit(.minutes(10)))
struct IdempotencyTests {
    private struct Desk: Sendable {
        let simulation: Simulation
        let database: InMemoryDatabase
        let idempotency: Idempotency<InMemoryDatabase>
        let events = EventLog()
        let runs = Log<Int>()

        init(lease: Duration = .seconds(30), concurrency: InMemoryDatabase.Concurrency = .oneWriter) {
            simulation = Simulation(seed: 1, instrument: events)
            database = InMemoryDatabase(concurrency: concurrency, runtime: simulation.runtime)
            idempotency = Idempotency(in: database, scope: "POST /payments", lease: lease)
        }

        var time: VirtualTime { simulation.time }
        var notes: Table<InMemoryDatabase, String> { database.table("notes", of: String.self) }

        func run(_ body: @escaping @Sendable () async throws -> Void) async throws {
            try await simulation.run(body)
        }

        func answer(_ key: IdempotencyKey = "k", fingerprint: String = "f") async throws -> Receipt {
            try await idempotency.replay(key, fingerprint: fingerprint) { Receipt(number: runs.add(0)) }
        }

        func answerInTransaction(_ key: IdempotencyKey = "k") async throws -> Receipt {
            try await idempotency.replay(key) { tx in
                let number = runs.add(0)
                try await notes.put("written", at: String(number), in: tx)
                return Receipt(number: number)
            }
        }
    }

    private static func code(_ body: () async throws -> Receipt) async throws -> IdempotencyError.Code? {
        do {
            _ = try await body()
            return nil
        } catch let error as IdempotencyError {
            return error.code
        }
    }

    @Test func aRepeatGetsTheRecordedAnswer() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            #expect(try await desk.answer() == Receipt(number: 1))
            #expect(try await desk.answer() == Receipt(number: 1))
            #expect(try await desk.answer("other") == Receipt(number: 2))
            #expect(try await desk.answerInTransaction("third") == Receipt(number: 3))
            #expect(try await desk.answerInTransaction("third") == Receipt(number: 3))
            #expect(desk.runs.count == 3)
            #expect(try await desk.notes.all().count == 1)
        }
        #expect(desk.events.of(RequestReplayed.self).map(\.key) == ["k", "third"])
    }

    @Test func anAnswerThatIsNilIsAnAnswer() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            for _ in 0..<2 {
                let answer: Receipt? = try await desk.idempotency.replay("k") {
                    desk.runs.add(0)
                    return nil
                }
                #expect(answer == nil)
            }
            #expect(desk.runs.count == 1)
        }
    }

    @Test func aRepeatInFlightIsToldSoAndWhenToAskAgain() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    _ = try await desk.idempotency.replay("k") {
                        try await desk.time.sleep(for: .seconds(5))
                        return Receipt(number: desk.runs.add(0))
                    }
                }
                group.addTask {
                    try await desk.time.sleep(for: .seconds(1))
                    let error = await #expect(throws: IdempotencyError.self) {
                        _ = try await desk.idempotency.replay("k") { Receipt(number: desk.runs.add(0)) }
                    }
                    #expect(error?.code == .inFlight)
                    #expect(error?.retryAfter == .seconds(29))
                    #expect(error?.failureClass == .transient)
                }
                try await group.waitForAll()
            }
            #expect(try await desk.answer("k", fingerprint: "") == Receipt(number: 1))
            #expect(desk.runs.count == 1)
        }
    }

    @Test func anotherRequestUnderTheSameKeyIsRefused() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            _ = try await desk.answer("k", fingerprint: "f")
            #expect(try await Self.code { try await desk.answer("k", fingerprint: "g") } == .fingerprintMismatch)
            #expect(try await desk.answer("k", fingerprint: "f") == Receipt(number: 1))
        }
    }

    @Test func aFailureLeavesTheKeyFreeAndNothingWritten() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            for _ in 0..<2 {
                await #expect(throws: Broken.thing) {
                    let _: Receipt = try await desk.idempotency.replay("k") { throw Broken.thing }
                }
                await #expect(throws: Broken.thing) {
                    let _: Receipt = try await desk.idempotency.replay("k") { tx in
                        try await desk.notes.put("never", at: "n", in: tx)
                        throw Broken.thing
                    }
                }
            }
            #expect(try await desk.answer() == Receipt(number: 1))
            #expect(try await desk.notes.all().isEmpty)
        }
    }

    @Test func aFailureCanBeRecordedAsTheAnswer() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            await #expect(throws: Broken.thing) {
                let _: Receipt = try await desk.idempotency.replay("k", recordingFailures: { $0 is Broken }) {
                    desk.runs.add(0)
                    throw Broken.thing
                }
            }
            let error = await #expect(throws: IdempotencyError.self) { _ = try await desk.answer("k", fingerprint: "") }
            #expect(error?.code == .recordedFailure)
            #expect(error?.failure?.message == "thing")
            #expect(desk.runs.count == 1)
            // What the rule does not name leaves the key free.
            await #expect(throws: CancellationError.self) {
                let _: Receipt = try await desk.idempotency.replay("l", recordingFailures: { $0 is Broken }) {
                    throw CancellationError()
                }
            }
            #expect(try await desk.answer("l", fingerprint: "") == Receipt(number: 2))
        }
    }

    @Test func aRequestWhoseTaskIsCancelledLeavesTheKeyFree() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    _ = try? await desk.idempotency.replay("k") {
                        try await desk.time.sleep(for: .seconds(5))
                        return Receipt(number: 0)
                    }
                }
                try? await desk.time.sleep(for: .seconds(1))
                group.cancelAll()
            }
            #expect(desk.time.monotonic().nanoseconds == 1_000_000_000)
            #expect(try await desk.answer() == Receipt(number: 1))
        }
    }

    @Test func whatWasDoneIsRecordedAlthoughTheOneWhoAskedHasGone() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    _ = try? await desk.idempotency.replay("k") {
                        // The call to the outside succeeds although nobody waits for it any more.
                        while !Task.isCancelled { await Task.yield() }
                        return Receipt(number: desk.runs.add(0))
                    }
                }
                try? await desk.time.sleep(for: .zero)
                group.cancelAll()
            }
            #expect(try await desk.answer("k", fingerprint: "") == Receipt(number: 1))
            #expect(desk.runs.count == 1)
        }
    }

    @Test func aLongRequestKeepsItsKey() async throws {
        let desk = Desk(lease: .seconds(9))
        try await desk.run { () async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let receipt = try await desk.idempotency.replay("k") {
                        try await desk.time.sleep(for: .seconds(100))
                        return Receipt(number: desk.runs.add(0))
                    }
                    #expect(receipt == Receipt(number: 1))
                }
                group.addTask {
                    for _ in 0..<9 {
                        try await desk.time.sleep(for: .seconds(10))
                        #expect(try await Self.code { try await desk.answer("k", fingerprint: "") } == .inFlight)
                    }
                }
                try await group.waitForAll()
            }
        }
    }

    /// As in a process that was suspended: its renewals stop, another takes over, then it wakes up.
    @Test(arguments: [false, true])
    func aFormerOwnerCannotRecordItsAnswer(inTransaction: Bool) async throws {
        let desk = Desk()
        let frozen = FrozenDatabase(inner: desk.database)
        let slow = Idempotency(in: frozen, scope: "POST /payments", lease: .seconds(10))
        try await desk.run { () async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let error = await #expect(throws: DatabaseError.self) {
                        if inTransaction {
                            _ = try await slow.replay("k", fingerprint: "f") { tx in
                                try await desk.notes.put("late", at: "late", in: tx)
                                // One writer at a time: time passes before the transaction of the other begins.
                                return Receipt(number: 99)
                            }
                        } else {
                            _ = try await slow.replay("k", fingerprint: "f") {
                                try await desk.time.sleep(for: .seconds(30))
                                return Receipt(number: 99)
                            }
                        }
                    }
                    #expect(error?.code == .leaseLost)
                }
                group.addTask {
                    try await desk.time.sleep(for: .seconds(15))
                    #expect(try await desk.answer() == Receipt(number: 1))
                }
                try await group.waitForAll()
            }
            #expect(try await desk.answer() == Receipt(number: 1))
            #expect(try await desk.notes.all().isEmpty)
        }
    }

    /// The key is taken over while somebody else is asked: what came of it is not written a second time.
    @Test func oneWhoAskedTooLongWritesNothing() async throws {
        let desk = Desk()
        let frozen = FrozenDatabase(inner: desk.database)
        let slow = Idempotency(in: frozen, scope: "POST /payments", lease: .seconds(10))
        try await desk.run { () async throws in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let error = await #expect(throws: DatabaseError.self) {
                        try await slow.replay("k") {
                            try await desk.time.sleep(for: .seconds(30))
                            return 99
                        } writing: { number, tx in
                            try await desk.notes.put("late", at: "late", in: tx)
                            return Receipt(number: number)
                        }
                    }
                    #expect(error?.code == .leaseLost)
                }
                group.addTask {
                    try await desk.time.sleep(for: .seconds(15))
                    #expect(try await desk.answerInTransaction() == Receipt(number: 1))
                }
                try await group.waitForAll()
            }
            #expect(try await desk.notes.all().map(\.row) == ["written"])
        }
    }

    /// Nobody waits for a lock while another service is asked.
    @Test func noTransactionIsOpenWhileSomebodyElseIsAsked() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            let receipt = try await desk.idempotency.replay("k") {
                // A transaction of the same database would wait for itself if one were open.
                try await desk.database.withTransaction { tx in
                    try await desk.notes.put("asked", at: "asked", in: tx)
                }
                return 7
            } writing: { number, tx in
                try await desk.notes.put("written", at: "written", in: tx)
                return Receipt(number: number)
            }
            #expect(receipt == Receipt(number: 7))
            #expect(try await desk.notes.all().map(\.key) == ["asked", "written"])
            let repeated = try await desk.idempotency.replay("k") {
                0
            } writing: { _, _ in
                Receipt(number: 0)
            }
            #expect(repeated == receipt)
        }
    }

    @Test func anAnswerOfAnotherTypeIsNamed() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            _ = try await desk.answer("k", fingerprint: "")
            let error = await #expect(throws: IdempotencyError.self) {
                let _: [String] = try await desk.idempotency.replay("k") { [] }
            }
            #expect(error?.code == .undecodableAnswer)
            #expect(error?.cause != nil)
        }
    }

    @Test func anAnswerThatCannotBeRecordedIsNamedAndTheKeyIsFree() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            let error = await #expect(throws: IdempotencyError.self) {
                let _: Double = try await desk.idempotency.replay("k") { .nan }
            }
            #expect(error?.code == .unencodableAnswer)
            #expect(try await desk.answer("k", fingerprint: "") == Receipt(number: 1))
        }
    }

    @Test func aKeyIsRecordedOnceWithItsTransaction() async throws {
        let desk = Desk()
        try await desk.run { () async throws in
            for expected in [true, false] {
                let isNew = try await desk.database.withTransaction { tx in
                    try await desk.idempotency.once("k", in: tx)
                }
                #expect(isNew == expected)
            }
        }
    }

    @Test func keysFromFieldsAreTheSameEverywhereAndDifferWithTheirFields() {
        // Written down, so that a later release that derives it otherwise is noticed.
        #expect(IdempotencyKey(fields: "7", 1).rawValue == "054e112a-69a6-8051-88ec-d697054bdd12")
        let keys = [
            IdempotencyKey(fields: "7", 1), IdempotencyKey(fields: "71"), IdempotencyKey(fields: 1, "7"),
            IdempotencyKey(fields: "7", 1, ""), IdempotencyKey(fields: "7"), IdempotencyKey(fields: "7", "1", "1"),
        ]
        #expect(Set(keys).count == keys.count)
        #expect(IdempotencyKey(fields: "7", 1) == IdempotencyKey(fields: "7", "1"), "Only the text counts.")
    }

    @Test func theSweeperForgetsWhatHasExpired() async throws {
        let desk = Desk()
        let database = desk.database
        try await desk.run { () async throws in
            for number in 0..<25 {
                _ = try await database.withTransaction { tx in
                    try await database.idempotencyStore.record(
                        [IdempotencyKey(String(number))], in: "s", retention: .seconds(100), in: tx
                    )
                }
            }
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await IdempotencySweeper(database, period: .seconds(60), batchSize: 10).run() }
                try? await desk.time.sleep(for: .seconds(95))
                #expect(desk.events.of(StoreSwept.self).isEmpty)
                try? await desk.time.sleep(for: .seconds(70))
                group.cancelAll()
            }
        }
        #expect(desk.events.of(StoreSwept.self).map(\.count) == [25])
    }

    @Test func aSweepThatFailsIsToldAndTriedAgain() async throws {
        let desk = Desk()
        let frozen = FrozenDatabase(inner: desk.database)
        try await desk.run { () async throws in
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await IdempotencySweeper(frozen, period: .seconds(60)).run() }
                try? await desk.time.sleep(for: .seconds(181))
                group.cancelAll()
            }
        }
        #expect(desk.events.of(StoreSweepFailed.self).count == 3)
    }
}

/// A database in which reservations cannot be renewed, and a transaction begins only after a long time.
private struct FrozenDatabase: IdempotencyDatabase {
    let inner: InMemoryDatabase

    var idempotencyStore: FrozenStore { FrozenStore(inner: inner.idempotencyStore) }

    func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (InMemoryTransaction) async throws -> Result
    ) async throws -> Result {
        try await Runtime.current.time.sleep(for: .seconds(30))
        return try await inner.withTransaction(isolation: isolation, body)
    }

    func withReadTransaction<Result>(_ body: (InMemoryTransaction) async throws -> Result) async throws -> Result {
        try await inner.withReadTransaction(body)
    }
}

private struct FrozenStore: IdempotencyStore {
    let inner: InMemoryIdempotencyStore

    func record(
        _ keys: [IdempotencyKey], in scope: IdempotencyScope, retention: Duration, in tx: InMemoryTransaction
    ) async throws -> [Bool] {
        try await inner.record(keys, in: scope, retention: retention, in: tx)
    }

    func reserve(
        _ key: IdempotencyKey, in scope: IdempotencyScope, fingerprint: String, lease: Duration, retention: Duration
    ) async throws -> IdempotencyReservation {
        try await inner.reserve(key, in: scope, fingerprint: fingerprint, lease: lease, retention: retention)
    }

    func renew(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, lease: Duration
    ) async throws {
        throw DatabaseError(.unavailable, "Away.")
    }

    func complete(
        _ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken, answer: Bytes, retention: Duration,
        in tx: InMemoryTransaction
    ) async throws {
        try await inner.complete(key, in: scope, token: token, answer: answer, retention: retention, in: tx)
    }

    func release(_ key: IdempotencyKey, in scope: IdempotencyScope, token: FencingToken) async throws {
        try await inner.release(key, in: scope, token: token)
    }

    func sweep(limit: Int) async throws -> Int {
        throw DatabaseError(.unavailable, "Away.")
    }
}
