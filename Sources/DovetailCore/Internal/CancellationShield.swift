// SPDX-License-Identifier: Apache-2.0

/// Runs a body to its end although the caller is cancelled meanwhile, and returns only then.
///
/// A part that shuts down in order needs this: cancellation reaches all child tasks at once, but work in hand is to finish
/// within a grace period. The body decides itself when to stop, told by `onCancel`.
///
/// This is the one place in the library that starts a task of its own. The task does not outlive the call, keeps the
/// caller's task-local values and priority, and runs on the caller's executor.
///
/// - Parameters:
///   - body: What to run.
///   - onCancel: Called when the caller is cancelled, possibly before the body starts. Must be quick.
/// - Returns: What the body returns.
/// - Throws: What the body throws.
package func withCancellationShield<Result: Sendable>(
    _ body: @escaping @Sendable () async throws -> Result,
    onCancel: @escaping @Sendable () -> Void
) async throws -> Result {
    let task = Task(executorPreference: preferredExecutor) { try await body() }
    let abort = AbortSwitch.current
    let registration = abort?.add { task.cancel() }
    defer { if let registration { abort?.remove(registration) } }
    return try await withTaskCancellationHandler {
        try await task.value
    } onCancel: {
        onCancel()
    }
}

/// Cancels what stands behind cancellation shields, for a simulated crash that leaves no time for an orderly end.
package final class AbortSwitch: Sendable {
    private struct State: Sendable {
        var isThrown = false
        var nextID: UInt64 = 0
        var actions: [UInt64: @Sendable () -> Void] = [:]
    }

    private let monitor = Monitor(State())

    package init() {}

    /// The switch of the current task; `nil` outside simulations.
    @TaskLocal package static var current: AbortSwitch?

    /// Cancels all shielded work that was started under this switch, and all that will be.
    package func abort() {
        let actions = monitor.withLock { state in
            state.isThrown = true
            defer { state.actions = [:] }
            return state.actions.sorted { $0.key < $1.key }.map(\.value)
        }
        for action in actions { action() }
    }

    fileprivate func add(_ action: @escaping @Sendable () -> Void) -> UInt64? {
        let id = monitor.withLock { state -> UInt64? in
            if state.isThrown { return nil }
            state.nextID += 1
            state.actions[state.nextID] = action
            return state.nextID
        }
        if id == nil { action() }
        return id
    }

    fileprivate func remove(_ id: UInt64) {
        monitor.withLock { $0.actions[id] = nil }
    }
}

/// The executor that the current task prefers, such as that of a simulation.
private var preferredExecutor: (any TaskExecutor)? {
    guard #available(macOS 26.4, iOS 26.4, watchOS 26.4, tvOS 26.4, visionOS 26.4, *) else { return nil }
    return withUnsafeCurrentTask { $0?.unownedTaskExecutor }?.asTaskExecutor()
}
