// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// Tasks of a simulation that wait for its progress: until all is quiet, or until time has passed.
final class ProgressWaiters: Sendable {
    private struct Waiter: Sendable {
        let id: UInt64
        let endsWhenQuiet: Bool
        /// The last instant to wait for; `.max` for no end.
        let deadline: MonotonicInstant
        let continuation: UnsafeContinuation<Bool, Never>
    }

    private struct State: Sendable {
        var lastID: UInt64 = 0
        var waiters: [Waiter] = []
    }

    private let state = Mutex(State())

    /// Suspends until the simulation resumes the waiter.
    func wait(untilQuiet endsWhenQuiet: Bool, atMost deadline: MonotonicInstant) async throws {
        let id = state.withLock { state in
            state.lastID += 1
            return state.lastID
        }
        let isDone = await withTaskCancellationHandler {
            await withUnsafeContinuation { continuation in
                let waiter = Waiter(
                    id: id, endsWhenQuiet: endsWhenQuiet, deadline: deadline, continuation: continuation)
                let isCancelled = state.withLock { state in
                    guard !Task.isCancelled else { return true }
                    state.waiters.append(waiter)
                    return false
                }
                if isCancelled { continuation.resume(returning: false) }
            }
        } onCancel: {
            take { $0.id == id }?.continuation.resume(returning: false)
        }
        guard isDone else { throw CancellationError() }
    }

    var waitsForQuiet: Bool { state.withLock { $0.waiters.contains { $0.endsWhenQuiet } } }

    /// Resumes those who wait for quiet.
    func resumeQuiet() {
        while let waiter = take({ $0.endsWhenQuiet }) { waiter.continuation.resume(returning: true) }
    }

    /// The first instant that ends a wait.
    var firstDeadline: MonotonicInstant? { state.withLock { $0.waiters.map(\.deadline).min() } }

    /// Resumes those whose instant has come.
    func resume(at now: MonotonicInstant) {
        while let waiter = take({ $0.deadline <= now }) { waiter.continuation.resume(returning: true) }
    }

    private func take(_ predicate: (Waiter) -> Bool) -> Waiter? {
        state.withLock { state in
            state.waiters.firstIndex(where: predicate).map { state.waiters.remove(at: $0) }
        }
    }
}
