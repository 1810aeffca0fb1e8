// SPDX-License-Identifier: Apache-2.0

import DovetailBulkhead
import Synchronization

/// What a bulkhead adds to a call that does nothing.
enum BulkheadWorkloads {
    static let tryAndRelease = Workload("try and release a permit") { count in
        let bulkhead = Bulkhead(limit: 25)
        return {
            var taken = 0
            for _ in 0..<count {
                guard let permit = bulkhead.tryAcquire() else { continue }
                taken &+= 1
                permit.release()
            }
            try WorkloadError.check(taken, is: count, "The permits taken")
        }
    }

    /// The least that counting permits exactly costs: a compare-and-exchange there and back.
    static let counter = Workload("an atomic counter with a limit") { count in
        let counter = Counter(25)
        return {
            var taken = 0
            for _ in 0..<count {
                guard counter.take() else { continue }
                taken &+= 1
                counter.give()
            }
            try WorkloadError.check(taken, is: count, "The permits taken")
        }
    }

    static let keyedTryAndRelease = Workload("try and release a permit of a key") { count in
        let bulkhead = KeyedBulkhead<Int>(limit: 4, total: 25)
        return {
            var taken = 0
            for index in 0..<count {
                guard let permit = bulkhead.tryAcquire(for: index & 1023) else { continue }
                taken &+= 1
                permit.release()
            }
            try WorkloadError.check(taken, is: count, "The permits taken")
        }
    }

    /// What finding a key costs at least: its entry in a dictionary, made and removed under a lock.
    static let lockedDictionary = Workload("an entry of a dictionary behind a lock") { count in
        let counts = Mutex<[Int: Int]>([:])
        return {
            for index in 0..<count {
                counts.withLock { $0[index & 1023, default: 0] += 1 }
                counts.withLock { $0[index & 1023] = nil }
            }
        }
    }

    static let idle: @Sendable (_ count: Int) async throws -> any Sendable = { count in
        (0..<count).map { _ in Bulkhead("pricing", limit: 25, queue: 100, longestWait: .seconds(1)) }
    }

    static let rejectedTry = Workload("try a bulkhead that is full") { count in
        let bulkhead = Bulkhead(limit: 0)
        return {
            for _ in 0..<count where bulkhead.tryAcquire() != nil { throw WorkloadError("A permit was given.") }
            try WorkloadError.check(bulkhead.snapshot().rejected, is: count, "The callers turned away")
        }
    }

    static let counterThatIsFull = Workload("an atomic counter that is full") { count in
        let counter = Counter(0)
        return {
            for _ in 0..<count where counter.take() { throw WorkloadError("A permit was given.") }
        }
    }

    static let acquireAndRelease = Workload("acquire and release a permit") { count in
        let bulkhead = Bulkhead(limit: 25, queue: 100, longestWait: .seconds(1))
        return {
            for _ in 0..<count {
                let permit = try await bulkhead.acquire()
                permit.release()
            }
        }
    }

    static let bareCall = Workload("the bare call") { count in
        {
            var sum = 0
            for index in 0..<count { sum &+= try await answer(index) }
            try check(sum, count)
        }
    }

    static let tryWithPermit = Workload("a call if a permit is free") { count in
        let bulkhead = Bulkhead(limit: 25)
        return {
            var sum = 0
            for index in 0..<count { sum &+= try await bulkhead.tryWithPermit { try await answer(index) } }
            try check(sum, count)
        }
    }

    /// What a call must cost that is not to be made by a task that was cancelled.
    static let checkedCall = Workload("the bare call, after a look whether the task is cancelled") { count in
        {
            var sum = 0
            for index in 0..<count {
                try Task.checkCancellation()
                sum &+= try await answer(index)
            }
            try check(sum, count)
        }
    }

    static let withPermit = Workload("a call with a permit") { count in
        let bulkhead = Bulkhead(limit: 25, queue: 100, longestWait: .seconds(1))
        return {
            var sum = 0
            for index in 0..<count { sum &+= try await bulkhead.withPermit { try await answer(index) } }
            try check(sum, count)
        }
    }

    static let call = Workload("a call with a bulkhead as a guard") { count in
        let bulkhead = Bulkhead(limit: 25, queue: 100, longestWait: .seconds(1))
        return {
            var sum = 0
            for index in 0..<count { sum &+= try await bulkhead.call { try await answer(index) } }
            try check(sum, count)
        }
    }

    static let rejectedCall = Workload("a call that a full bulkhead turns away") { count in
        let bulkhead = Bulkhead(limit: 1, queue: 0)
        guard let permit = bulkhead.tryAcquire() else { throw WorkloadError("No permit was given.") }
        let held = Held(permit)
        return {
            var rejected = 0
            for index in 0..<count {
                do {
                    sink(try await bulkhead.withPermit { try await answer(index) })
                } catch is BulkheadError {
                    rejected += 1
                }
            }
            withExtendedLifetime(held) {}
            try WorkloadError.check(rejected, is: count, "The calls turned away")
        }
    }

    /// The same with an error that is made once.
    static let throwingCall = Workload("a call that throws") { count in
        let error: any Error = WorkloadError("Thrown.")
        return {
            var thrown = 0
            for _ in 0..<count {
                do {
                    try await fail(with: error)
                } catch is WorkloadError {
                    thrown += 1
                }
            }
            try WorkloadError.check(thrown, is: count, "The calls that threw")
        }
    }

    /// The same bulkhead used by two tasks, each of which does all the operations: a figure is the time one task needs for one.
    static func twice(_ workload: Workload) -> Workload {
        Workload("\(workload.name), two tasks at once") { count in
            let run = try await workload.prepared(for: count)
            return {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for _ in 0..<2 { group.addTask { try await run() } }
                    try await group.waitForAll()
                }
            }
        }
    }

    /// Writes nothing that tasks on other cores write too.
    @inline(never)
    private static func answer(_ question: Int) async throws -> Int {
        question & 7
    }

    @inline(never)
    private static func fail(with error: any Error) async throws {
        throw error
    }

    private static func check(_ sum: Int, _ count: Int) throws {
        try WorkloadError.check(sum, is: (0..<count).reduce(0) { $0 &+ $1 & 7 }, "The sum of the answers")
    }

    private final class Counter: Sendable {
        private let free: Atomic<Int>

        init(_ limit: Int) {
            free = Atomic(limit)
        }

        func take() -> Bool {
            var found = free.load(ordering: .relaxed)
            while found > 0 {
                let (isTaken, now) = free.weakCompareExchange(
                    expected: found, desired: found &- 1, successOrdering: .acquiring, failureOrdering: .relaxed)
                if isTaken { return true }
                found = now
            }
            return false
        }

        func give() {
            free.add(1, ordering: .releasing)
        }
    }

    private final class Held: Sendable {
        private let permit: Mutex<Bulkhead.Permit?>

        init(_ permit: consuming sending Bulkhead.Permit) {
            self.permit = Mutex(permit)
        }
    }
}
