// SPDX-License-Identifier: Apache-2.0

import Dispatch
import DovetailCore
import Synchronization

/// A fixed number of threads that take jobs first come first served.
final class ThreadPool: Sendable {
    private struct Job: Sendable {
        let job: UnownedJob
        let executor: UnownedTaskExecutor
    }

    private struct State: Sendable {
        var jobs: ContiguousArray<Job> = []
        /// Where the jobs begin that no thread has taken.
        var head = 0
        /// Work that was let in and has not ended: its jobs may still be on their way.
        var running = 0
        var isStopping = false
        /// No thread takes a job any more.
        var hasEnded = false
        var threads = 0
        var stoppers: [UnsafeContinuation<Void, Never>] = []

        mutating func next() -> Job? {
            guard head < jobs.count else { return nil }
            let job = jobs[head]
            head += 1
            if head == jobs.count || head >= 1024 {
                jobs.removeSubrange(..<head)
                head = 0
            }
            return job
        }
    }

    private enum Step {
        case run(Job)
        case wait
        case end([UnsafeContinuation<Void, Never>])
    }

    private let state = Mutex(State())
    /// Signalled at least once for each job, and for each thread when there may be nothing left to wait for.
    private let signal = DispatchSemaphore(value: 0)
    private let count: Int

    /// Starts the threads.
    ///
    /// - Throws: ``BulkheadError`` with ``BulkheadError/Code/noThread``; then no thread stays behind.
    init(_ name: String, threads: Int) throws(BulkheadError) {
        count = max(1, threads)
        for number in 1...count {
            state.withLock { $0.threads += 1 }
            let status = BlockingThread.start(named: Self.threadName(name, number)) { [self] in work() }
            guard status == 0 else {
                state.withLock { $0.threads -= 1 }
                stop()
                throw BulkheadError(
                    .noThread,
                    "Thread \(number) of \(count) for the executor '\(name)' could not be started (error \(status)). Use "
                        + "fewer threads, or raise the limits of the process.",
                    bulkhead: name
                )
            }
        }
    }

    /// The name of a thread: the pool's, cut to the 15 bytes that Linux keeps, with the number at its end.
    static func threadName(_ pool: String, _ number: Int) -> String {
        let suffix = "-\(number)"
        var name = pool
        while name.utf8.count + suffix.utf8.count > 15, !name.isEmpty { name.removeLast() }
        return name + suffix
    }

    /// Takes a job.
    ///
    /// - Returns: `false` if the threads have ended, and somebody else must run it.
    func enqueue(_ job: UnownedJob, on executor: UnownedTaskExecutor) -> Bool {
        let isTaken = state.withLock { state in
            guard !state.hasEnded else { return false }
            state.jobs.append(Job(job: job, executor: executor))
            return true
        }
        if isTaken { signal.signal() }
        return isTaken
    }

    /// Lets work in: until it ends, the threads stay.
    ///
    /// - Returns: `false` once the pool is stopping.
    func begin() -> Bool {
        state.withLock { state in
            guard !state.isStopping else { return false }
            state.running += 1
            return true
        }
    }

    /// Notes that work has ended.
    func end() {
        let mayEnd = state.withLock { state in
            state.running -= 1
            return state.isStopping && state.running == 0
        }
        if mayEnd { signalAll() }
    }

    var isStopping: Bool { state.withLock { $0.isStopping } }

    /// Has the threads end when the work that was let in has ended and no job waits; returns at once.
    func stop() {
        state.withLock { $0.isStopping = true }
        signalAll()
    }

    /// Waits until all threads have left the pool, cancelled or not.
    func ended() async {
        await withUnsafeContinuation { (continuation: UnsafeContinuation<Void, Never>) in
            let isOver = state.withLock { state in
                if state.threads > 0 { state.stoppers.append(continuation) }
                return state.threads == 0
            }
            if isOver { continuation.resume() }
        }
    }

    private func signalAll() {
        for _ in 0..<count { signal.signal() }
    }

    /// What each thread does.
    private func work() {
        while true {
            signal.wait()
            switch step() {
            case .run(let job): job.job.runSynchronously(on: job.executor)
            case .wait: continue
            case .end(let stoppers):
                // The next one has no other reason to wake.
                signal.signal()
                for stopper in stoppers { stopper.resume() }
                return
            }
        }
    }

    private func step() -> Step {
        state.withLock { state in
            if let job = state.next() { return .run(job) }
            guard state.isStopping, state.running == 0 else { return .wait }
            state.hasEnded = true
            state.threads -= 1
            guard state.threads == 0 else { return .end([]) }
            let stoppers = state.stoppers
            state.stoppers = []
            return .end(stoppers)
        }
    }
}
