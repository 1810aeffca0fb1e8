// SPDX-License-Identifier: Apache-2.0

import Dispatch
import DovetailCore
import DovetailResilience
import Synchronization
import Testing

@testable import DovetailBulkhead

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// On real threads, which is what it is about.
@Suite("Isolated executor", .timeLimit(.minutes(10)))
struct IsolatedExecutorTests {
    struct Broken: Error {}

    @Test("Blocking work runs on the executor's own named threads, returns and throws")
    func runs() async throws {
        let executor = try IsolatedExecutor("reports", threads: 2)
        let name = try await executor.run { threadName() }
        #if os(Linux)
            #expect(name == "reports-1" || name == "reports-2")
        #endif
        await #expect(throws: Broken.self) { try await executor.run { throw Broken() } }
        #expect(executor.snapshot().inUse == 0)
        await executor.shutdown()
    }

    @Test("Long names are cut to what the system keeps, with the number at the end")
    func names() {
        #expect(ThreadPool.threadName("reports", 12) == "reports-12")
        #expect(ThreadPool.threadName("a-very-long-name-of-an-executor", 3) == "a-very-long-n-3")
        #expect(ThreadPool.threadName("ééééééééééé", 7).utf8.count <= 15)
    }

    @Test("Whatever the executor's threads are blocked by, other tasks go on; the next caller is rejected")
    func isolation() async throws {
        let executor = try IsolatedExecutor("blocked", threads: 2)
        let gate = DispatchSemaphore(value: 0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 { group.addTask { try await executor.run { gate.wait() } } }
            while executor.snapshot().inUse < 2 { await Task.yield() }
            #expect(await code { try await executor.run {} } == .full)
            // More tasks than there are cores get their turn.
            await withTaskGroup(of: Void.self) { others in
                for _ in 0..<100 { others.addTask { await Task.yield() } }
            }
            for _ in 0..<2 { gate.signal() }
            try await group.waitForAll()
        }
        await executor.shutdown()
    }

    @Test("Never more work at once than there are threads; callers beyond the queue are rejected")
    func bounded() async throws {
        let executor = try IsolatedExecutor("bounded", threads: 2, queue: 10)
        let gate = DispatchSemaphore(value: 0)
        let gauge = Gauge()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<12 {
                group.addTask {
                    try await executor.run {
                        gauge.enter()
                        gate.wait()
                        gauge.leave()
                    }
                }
            }
            while executor.snapshot().waiting < 10 { await Task.yield() }
            // Both threads have begun, or the first could do all the work once it may go on.
            while gauge.current < 2 { await Task.yield() }
            let error = await code { try await executor.run {} }
            #expect(error == .queueFull)
            for _ in 0..<12 { gate.signal() }
            try await group.waitForAll()
        }
        #expect(gauge.most == 2)
        await executor.shutdown()
    }

    @Test("Tasks may prefer the executor: their jobs run on its threads, however many there are")
    func preference() async throws {
        let executor = try IsolatedExecutor("preferred", threads: 2)
        let names = Shared<Set<String>>([])
        await withTaskExecutorPreference(executor) {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<3000 {
                    group.addTask {
                        names.change { _ = $0.insert(threadName()) }
                        await Task.yield()
                        names.change { _ = $0.insert(threadName()) }
                    }
                }
            }
        }
        #if os(Linux)
            #expect(names.value.isSubset(of: ["preferred-1", "preferred-2"]))
        #endif
        await executor.shutdown()
    }

    @Test("A caller on an actor leaves it for the executor, with its task-local values, and comes back")
    @MainActor func fromAnActor() async throws {
        let executor = try IsolatedExecutor("actors", threads: 1)
        let runtime = Runtime(time: ShortSleeps(turns: 1))
        try await Runtime.$current.withValue(runtime) {
            let isSame = try await executor.run { Runtime.current === runtime && threadName() != "main" }
            #expect(isSame)
        }
        MainActor.assertIsolated()
        await executor.shutdown()
    }

    @Test("43: a caller that is cancelled already does not run")
    func cancelledBefore() async throws {
        let executor = try IsolatedExecutor("cancelled", threads: 1)
        await withTaskGroup(of: Void.self) { group in
            group.cancelAll()
            group.addTask {
                await #expect(throws: CancellationError.self) {
                    try await executor.run { Issue.record("The work was run.") }
                }
            }
        }
        await executor.shutdown()
    }

    @Test("Shutdown lets in nobody, turns away who waits, waits for what runs, and ends the threads")
    func shutdown() async throws {
        let executor = try IsolatedExecutor("shutdown", threads: 1, queue: 5)
        let gate = DispatchSemaphore(value: 0)
        let hasEnded = Shared(false)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await executor.run {
                    gate.wait()
                    hasEnded.change { $0 = true }
                }
            }
            while executor.snapshot().inUse < 1 { await Task.yield() }
            group.addTask { #expect(await code { try await executor.run {} } == .shutDown) }
            while executor.snapshot().waiting < 1 { await Task.yield() }
            group.addTask {
                await executor.shutdown()
                #expect(hasEnded.value)
            }
            while executor.snapshot().limit > 0 { await Task.yield() }
            let error = await #expect(throws: BulkheadError.self) { try await executor.run {} }
            #expect(error?.code == .shutDown)
            #expect(error.map { FailureClassifier().classify($0) } == .permanent)
            gate.signal()
            try await group.waitForAll()
        }
        #if os(Linux)
            #expect(!threadNames().contains("shutdown-1"))
        #endif
        await executor.shutdown()
    }

    @Test("Work that was let in before a shutdown has its threads until it ends")
    func letsWorkEnd() async throws {
        let executor = try IsolatedExecutor("letin", threads: 1)
        #expect(executor.pool.begin())
        for _ in 0..<200 {
            // Each stop wakes the thread once more, between two jobs, and it must not take that for the end.
            executor.pool.stop()
            let name = await Task(executorPreference: executor) { threadName() }.value
            #if os(Linux)
                #expect(name == "letin-1")
            #endif
        }
        #expect(!executor.pool.begin())
        executor.pool.end()
        await executor.shutdown()
    }

    @Test("A task that still prefers the executor after its shutdown is not lost")
    func jobsAfterShutdown() async throws {
        let executor = try IsolatedExecutor("late", threads: 1)
        await executor.shutdown()
        let task = Task(executorPreference: executor) {
            await Task.yield()
            return 7
        }
        #expect(await task.value == 7)
    }

    @Test("An executor that is let go ends its threads, and nothing is left behind")
    func letGo() async throws {
        for _ in 0..<20 {
            weak var pool: ThreadPool?
            do {
                let executor = try IsolatedExecutor("letgo", threads: 3, queue: 100)
                pool = executor.pool
                await withTaskGroup(of: Void.self) { group in
                    for _ in 0..<20 { group.addTask { try? await executor.run {} } }
                }
            }
            while pool != nil { await Task.yield() }
        }
        #if os(Linux)
            while threadNames().contains(where: { $0.hasPrefix("letgo") }) { await Task.yield() }
        #endif
    }

    @Test("Shutting down while callers come: each is served, or told that it came too late")
    func shutdownRace() async throws {
        for round in 0..<30 {
            let executor = try IsolatedExecutor("race", threads: 2, queue: 1000)
            let (served, refused) = (Shared(0), Shared(0))
            await withTaskGroup(of: Void.self) { group in
                for caller in 0..<50 {
                    group.addTask {
                        do {
                            let name = try await executor.run {
                                served.change { $0 += 1 }
                                return threadName()
                            }
                            #if os(Linux)
                                #expect(name == "race-1" || name == "race-2")
                            #endif
                        } catch {
                            #expect((error as? BulkheadError)?.code == .shutDown)
                            refused.change { $0 += 1 }
                        }
                    }
                    if caller == round { group.addTask { await executor.shutdown() } }
                }
            }
            #expect(served.value + refused.value == 50)
        }
    }
}

private func threadName() -> String {
    #if os(Linux)
        read("/proc/thread-self/comm")
    #else
        ""
    #endif
}

private func threadNames() -> [String] {
    guard let folder = opendir("/proc/self/task") else { return [] }
    defer { closedir(folder) }
    var names: [String] = []
    while let entry = readdir(folder) {
        let id = withUnsafePointer(to: &entry.pointee.d_name) { name in
            name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        names.append(read("/proc/self/task/\(id)/comm"))
    }
    return names
}

private func read(_ path: String) -> String {
    guard let file = fopen(path, "r") else { return "" }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 64)
    let count = fread(&bytes, 1, bytes.count, file)
    return String(decoding: bytes.prefix(count).filter { $0 != 10 }, as: UTF8.self)
}
