// SPDX-License-Identifier: Apache-2.0

import Dispatch

/// Runs what blocks, one after the other, away from the threads on which tasks run.
final class FileThread: Sendable {
    private let queue: DispatchQueue?

    /// - Parameter name: Names the thread; `nil` for the thread of whoever calls.
    init(_ name: String?) {
        queue = name.map { DispatchQueue(label: $0) }
    }

    func run<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        guard let queue else {
            // Others come in between here too.
            await Task.yield()
            return try body()
        }
        return try await withUnsafeThrowingContinuation { continuation in
            queue.async { continuation.resume(with: Result(catching: body)) }
        }
    }
}
