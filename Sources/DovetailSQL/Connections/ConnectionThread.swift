// SPDX-License-Identifier: Apache-2.0

import Dispatch

/// Runs what blocks, one after the other, away from the threads on which tasks run.
///
/// A queue has a thread of its own while it has something to do, also when that blocks.
package final class ConnectionThread: TaskExecutor {
    private static let current = DispatchSpecificKey<ObjectIdentifier>()

    private let queue: DispatchQueue

    package init(_ name: String) {
        queue = DispatchQueue(label: name)
        queue.setSpecific(key: Self.current, value: ObjectIdentifier(self))
    }

    /// Runs a job of a task that prefers this thread.
    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        let executor = asUnownedTaskExecutor()
        queue.async { job.runSynchronously(on: executor) }
    }

    private var isCurrent: Bool {
        DispatchQueue.getSpecific(key: Self.current) == ObjectIdentifier(self)
    }

    /// Runs a body on this thread: at once if that is where the caller is.
    package func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        if isCurrent { return try body() }
        return try await withUnsafeThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result(catching: body)) }
        }
    }
}
