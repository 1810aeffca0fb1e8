// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Synchronization
import Testing

/// What the in-memory database promises beyond what every database does.
@Suite(.timeLimit(.minutes(10)))
struct InMemoryDatabaseTests {
    private final class Log<Element: Sendable>: Sendable {
        private let elements = Mutex<[Element]>([])
        var all: [Element] { elements.withLock { $0 } }

        @discardableResult
        func add(_ element: Element) -> Int {
            elements.withLock { elements in
                elements.append(element)
                return elements.count
            }
        }
    }

    private let simulation = Simulation(seed: 1)
    private var time: VirtualTime { simulation.time }

    private func rows(_ database: InMemoryDatabase) -> Table<InMemoryDatabase, Int> {
        database.table("rows", of: Int.self)
    }

    // MARK: One writer at a time

    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func writersAreServedInTheOrderInWhichTheyCame(seed: UInt64) async throws {
        let simulation = Simulation(seed: seed)
        let database = InMemoryDatabase()
        let log = Log<Int>()
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 1...10 {
                    group.addTask {
                        try await simulation.time.sleep(for: .milliseconds(number))
                        try await database.withTransaction { _ in
                            log.add(number)
                            try await simulation.time.sleep(for: .milliseconds(100))
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        #expect(log.all == Array(1...10))
    }

    @Test func whoeverIsCancelledLeavesTheLineAndTheNextIsServed() async throws {
        let database = InMemoryDatabase()
        let log = Log<String>()
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await database.withTransaction { _ in
                        log.add("first")
                        try await time.sleep(for: .seconds(10))
                    }
                }
                group.addTask {
                    await withTaskGroup(of: Void.self) { inner in
                        inner.addTask {
                            do {
                                try await database.withTransaction { _ in log.add("never") }
                            } catch {
                                log.add(
                                    "\(error is CancellationError) at \(time.monotonic().nanoseconds / 1_000_000_000)")
                            }
                        }
                        try? await time.sleep(for: .seconds(2))
                        inner.cancelAll()
                    }
                }
                group.addTask {
                    try await time.sleep(for: .seconds(3))
                    try await database.withTransaction { _ in log.add("third") }
                }
                try await group.waitForAll()
            }
        }
        #expect(log.all == ["first", "true at 2", "third"])
    }

    @Test func aTransactionInAChildTaskOfAnotherIsRefusedInsteadOfWaitingForItself() async throws {
        let database = InMemoryDatabase()
        try await database.withTransaction { _ in
            let code = await withTaskGroup(of: DatabaseError.Code?.self) { group in
                group.addTask {
                    do {
                        try await database.withTransaction { _ in }
                        return nil
                    } catch {
                        return (error as? DatabaseError)?.code
                    }
                }
                return await group.next() ?? nil
            }
            #expect(code == .nestedTransaction)
        }
        // In the same task, once the first has ended, and with another database, all is well.
        try await database.withTransaction { _ in
            try await InMemoryDatabase().withTransaction { _ in }
        }
    }

    // MARK: Refused commits

    @Test func aBodyWhoseCommitIsRefusedRunsAgainFromTheStart() async throws {
        let database = InMemoryDatabase()
        let rows = rows(database)
        let runs = Log<Int?>()
        database.refuseCommits(3)
        try await database.withTransaction { tx in
            let count = try await rows.get("count", in: tx)
            runs.add(count)
            try await rows.put((count ?? 0) + 1, at: "count", in: tx)
        }
        #expect(runs.all == [nil, nil, nil, nil])
        #expect(try await rows.get("count") == 1)
    }

    @Test func aCommitThatIsRefusedTenTimesIsGivenUp() async throws {
        let database = InMemoryDatabase()
        let runs = Log<Int>()
        let actions = Log<Int>()
        database.refuseCommits(10)
        let error = await #expect(throws: DatabaseError.self) {
            try await database.withTransaction { tx in
                tx.afterCommit { actions.add(0) }
                runs.add(0)
            }
        }
        #expect(error?.code == .serializationFailure)
        #expect(runs.all.count == 10)
        #expect(actions.all.isEmpty)
        try await database.withTransaction { tx in tx.afterCommit { actions.add(0) } }
        #expect(actions.all.count == 1)
    }

    @Test func otherFailuresOfABodyAreNotTriedAgain() async throws {
        let database = InMemoryDatabase()
        let runs = Log<Int>()
        for code in [.unavailable, .versionConflict, .leaseLost] as [DatabaseError.Code] {
            let error = await #expect(throws: DatabaseError.self) {
                try await database.withTransaction { _ in
                    runs.add(0)
                    throw DatabaseError(code, "From elsewhere.")
                }
            }
            #expect(error?.code == code)
        }
        #expect(runs.all.count == 3)
    }

    // MARK: Side by side

    @Test func twoWhoWaitForEachOtherAreToldAndBothCommit() async throws {
        let database = InMemoryDatabase(concurrency: .readCommitted)
        let rows = rows(database)
        let runs = Log<String>()
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (first, second) in [("a", "b"), ("b", "a")] {
                    group.addTask {
                        try await database.withTransaction { tx in
                            runs.add(first)
                            try await rows.put(1, at: "\(first) by \(first)", in: tx)
                            try await rows.put(1, at: first, in: tx)
                            try await time.sleep(for: .milliseconds(10))
                            try await rows.put(1, at: second, in: tx)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        #expect(runs.all.count == 3, "One of them ran again.")
        #expect(try await rows.all().map(\.key) == ["a", "a by a", "b", "b by b"])
    }

    @Test func aDeadlockOverThreeIsFoundToo() async throws {
        let database = InMemoryDatabase(concurrency: .readCommitted)
        let rows = rows(database)
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (first, second) in [("a", "b"), ("b", "c"), ("c", "a")] {
                    group.addTask {
                        try await database.withTransaction { tx in
                            try await rows.put(1, at: first, in: tx)
                            try await time.sleep(for: .milliseconds(10))
                            try await rows.put(1, at: second, in: tx)
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        #expect(try await rows.all().count == 3)
    }

    @Test func whoeverIsCancelledWhileHeWaitsForARowLetsGo() async throws {
        let database = InMemoryDatabase(concurrency: .readCommitted)
        let rows = rows(database)
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await database.withTransaction { tx in
                        try await rows.put(1, at: "a", in: tx)
                        try await time.sleep(for: .seconds(10))
                    }
                }
                group.addTask {
                    await withTaskGroup(of: Void.self) { inner in
                        inner.addTask {
                            try? await database.withTransaction { tx in
                                try await rows.put(2, at: "b", in: tx)
                                try await rows.put(2, at: "a", in: tx)
                            }
                        }
                        try? await time.sleep(for: .seconds(2))
                        inner.cancelAll()
                    }
                    // The row that the cancelled one held is free at once.
                    try await database.withTransaction { tx in _ = try await rows.put(3, at: "b", in: tx) }
                    #expect(time.monotonic().nanoseconds == 2_000_000_000)
                }
                try await group.waitForAll()
            }
        }
        #expect(try await rows.all().map(\.row) == [1, 3])
    }

    @Test func readCommittedSeesWhatOthersCommitMeanwhile() async throws {
        let database = InMemoryDatabase(concurrency: .readCommitted)
        let rows = rows(database)
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await database.withTransaction { tx in
                        #expect(try await rows.get("a", in: tx) == nil)
                        try await time.sleep(for: .seconds(2))
                        #expect(try await rows.get("a", in: tx) == 1)
                    }
                }
                group.addTask {
                    try await time.sleep(for: .seconds(1))
                    try await database.withTransaction { tx in _ = try await rows.put(1, at: "a", in: tx) }
                }
                try await group.waitForAll()
            }
        }
    }

    /// The classic of write skew: each may go as long as the other stays.
    @Test(arguments: [nil, IsolationLevel.serializable])
    func onlySerializableTransactionsAreKeptFromWriteSkew(isolation: IsolationLevel?) async throws {
        let database = InMemoryDatabase(concurrency: .readCommitted)
        let rows = rows(database)
        try await database.withTransaction { tx in
            for doctor in ["alice", "bob"] { try await rows.put(1, at: doctor, in: tx) }
        }
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for (doctor, other) in [("alice", "bob"), ("bob", "alice")] {
                    group.addTask {
                        try await database.withTransaction(isolation: isolation) { tx in
                            let isOtherOnCall = try await rows.get(other, in: tx) == 1
                            try await time.sleep(for: .milliseconds(10))
                            if isOtherOnCall { try await rows.put(0, at: doctor, in: tx) }
                        }
                    }
                }
                try await group.waitForAll()
            }
        }
        #expect(try await rows.all().map(\.row).reduce(0, +) == (isolation == .serializable ? 1 : 0))
    }

    @Test func aSerializableTransactionNoticesRowsThatCameIntoItsScan() async throws {
        let database = InMemoryDatabase(concurrency: .readCommitted)
        let rows = rows(database)
        let counts = Log<Int>()
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await database.withTransaction(isolation: .serializable) { tx in
                        counts.add(try await rows.scan(in: tx).count)
                        try await time.sleep(for: .seconds(2))
                        try await database.table("counts", of: Int.self).put(1, at: "c", in: tx)
                    }
                }
                group.addTask {
                    try await time.sleep(for: .seconds(1))
                    try await database.withTransaction { tx in _ = try await rows.put(1, at: "a", in: tx) }
                }
                try await group.waitForAll()
            }
        }
        #expect(counts.all == [0, 1])
    }

    // MARK: Reading

    @Test func aReaderKeepsItsMomentWhileManyWritersCommit() async throws {
        let database = InMemoryDatabase()
        let rows = rows(database)
        try await database.withTransaction { tx in
            for number in 0..<500 { try await rows.put(0, at: "\(number)", in: tx) }
        }
        try await database.withReadTransaction { tx in
            for round in 1...20 {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await database.withTransaction { tx in
                            for number in 0..<500 where number % 20 == round % 20 {
                                try await rows.put(round, at: "\(number)", in: tx)
                            }
                            try await rows.put(round, at: "new \(round)", in: tx)
                            try await rows.delete("\(round)", in: tx)
                        }
                    }
                    try await group.waitForAll()
                }
                let seen = try await rows.scan(in: tx)
                #expect(seen.count == 500)
                #expect(seen.allSatisfy { $0.row == 0 })
            }
        }
        #expect(try await rows.all().count == 500)
    }

    // MARK: Handles

    private struct Fence: EffectFence {
        struct Closed: Error {}
        let isClosed: @Sendable () -> Bool
        func check(_ effect: StaticString) throws { if isClosed() { throw Closed() } }
    }

    @Test func aFencedHandleHasNoEffectOnceItIsCutOff() async throws {
        let database = InMemoryDatabase()
        let isClosed = Log<Bool>()
        let handle = database.fenced(by: Fence { !isClosed.all.isEmpty })
        let rows = rows(handle)
        try await handle.withTransaction { tx in _ = try await rows.put(1, at: "before", in: tx) }
        await #expect(throws: Fence.Closed.self) {
            try await handle.withTransaction { tx in
                _ = try await rows.put(2, at: "during", in: tx)
                isClosed.add(true)
            }
        }
        await #expect(throws: Fence.Closed.self) { try await handle.withTransaction { _ in } }
        await #expect(throws: Fence.Closed.self) { try await handle.withReadTransaction { _ in } }
        // Others go on, and see what was done before.
        #expect(try await self.rows(database).all().map(\.key) == ["before"])
    }

    // MARK: On real threads

    /// For the thread sanitizer, and for the orders of events that virtual time does not make.
    @Test(arguments: [InMemoryDatabase.Concurrency.oneWriter, .readCommitted])
    func manyThreadsLoseNothing(_ concurrency: InMemoryDatabase.Concurrency) async throws {
        let database = InMemoryDatabase(concurrency: concurrency)
        let rows = rows(database)
        let commits = Log<Int>()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<16 {
                group.addTask {
                    var number = 0
                    while number < 20 {
                        do {
                            try await database.withTransaction(isolation: .serializable) { tx in
                                let keys = ["\(task % 4)", "\((task + number) % 4)"].sorted()
                                for key in keys {
                                    try await rows.put((rows.get(key, in: tx) ?? 0) + 1, at: key, in: tx)
                                }
                                tx.afterCommit { commits.add(1) }
                            }
                            number += 1
                        } catch let error as DatabaseError where error.code.isTransient {
                            // Given up after ten runs: this transaction left nothing.
                        }
                        _ = try await rows.all()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(commits.all.count == 16 * 20)
        #expect(try await rows.all().map(\.row).reduce(0, +) == 16 * 20 * 2)
    }

    @Test func cancellingManyWhoWaitLeavesTheDatabaseUsable() async throws {
        let database = InMemoryDatabase()
        let rows = rows(database)
        for _ in 0..<50 {
            await withTaskGroup(of: Void.self) { group in
                for task in 0..<8 {
                    group.addTask {
                        try? await database.withTransaction { tx in
                            await Task.yield()
                            _ = try await rows.put(task, at: "a", in: tx)
                        }
                    }
                }
                await Task.yield()
                group.cancelAll()
            }
        }
        try await database.withTransaction { tx in _ = try await rows.put(99, at: "a", in: tx) }
        #expect(try await rows.get("a") == 99)
    }
}
