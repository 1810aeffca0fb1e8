// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// State behind one lock, with lists of tasks that wait for it to change.
///
/// The state is a value type whose methods decide; nothing is called while the lock is held, and continuations are
/// resumed after it is released.
package final class Monitor<State: Sendable>: Sendable {
    private let state: Mutex<State>

    package init(_ state: consuming sending State) {
        self.state = Mutex(state)
    }

    /// Reads or changes the state.
    package func withLock<Result: Sendable, Failure: Error>(
        _ body: (inout State) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try state.withLock { state throws(Failure) in try body(&state) }
    }

    /// Runs `attempt` under the lock until it returns a value, waiting in a list between attempts.
    ///
    /// Waiting tasks stand in the order in which they came. A task that was woken and finds nothing to take waits again at
    /// the end.
    ///
    /// - Throws: `CancellationError` when the task is cancelled while it waits; what `attempt` throws.
    package func wait<Result: Sendable>(
        in list: any WritableKeyPath<State, WaiterList> & Sendable,
        until attempt: (inout State) throws -> Result?
    ) async throws -> Result {
        while true {
            // The identifier is taken in the same step as the failed attempt, so that a wake-up in between is not lost.
            let outcome: Attempt<Result> = try state.withLock { state in
                if let result = try attempt(&state) { return .ready(result) }
                return .waiting(state[keyPath: list].reserve())
            }
            switch outcome {
            case .ready(let result): return result
            case .waiting(let id):
                guard await suspend(id, in: list) else { throw CancellationError() }
            }
        }
    }

    /// Suspends until the waiter with this identifier is woken.
    ///
    /// - Returns: `false` if the task was cancelled first.
    package func suspend(_ id: WaiterList.ID, in list: any WritableKeyPath<State, WaiterList> & Sendable) async -> Bool
    {
        await withTaskCancellationHandler {
            await withUnsafeContinuation { (continuation: UnsafeContinuation<Bool, Never>) in
                let immediate: Bool? = state.withLock { state in
                    if Task.isCancelled {
                        // Whoever woke this waiter meanwhile meant it for a task that is still there.
                        return state[keyPath: list].abandon(id)
                    }
                    return state[keyPath: list].park(continuation, as: id) ? nil : true
                }
                if let immediate { continuation.resume(returning: immediate) }
            }
        } onCancel: {
            state.withLock { $0[keyPath: list].remove(id) }?.resume(returning: false)
        }
    }
}

private enum Attempt<Result: Sendable>: Sendable {
    case ready(Result)
    case waiting(WaiterList.ID)
}

/// Tasks that wait for something, first come first served.
package struct WaiterList: Sendable {
    package typealias ID = UInt64

    private enum Slot: Sendable {
        /// Has a place in the line; its task has not suspended yet.
        case reserved
        case parked(UnsafeContinuation<Bool, Never>)
    }

    private var nextID: ID = 0
    private var line: [ID: Slot] = [:]
    private var order = ArraySlice<ID>()
    /// Waiters that were woken between their place in the line and their suspension.
    private var wokenEarly: Set<ID> = []

    package init() {}

    package var isEmpty: Bool { line.isEmpty }
    package var count: Int { line.count }

    package mutating func reserve() -> ID {
        if order.count > 2 * line.count + 16 {
            // Waiters that were cancelled left their places behind.
            order = ArraySlice(order.filter { line[$0] != nil })
        }
        nextID += 1
        line[nextID] = .reserved
        order.append(nextID)
        return nextID
    }

    /// - Returns: `false` if the waiter was woken already and must not suspend.
    mutating func park(_ continuation: UnsafeContinuation<Bool, Never>, as id: ID) -> Bool {
        if wokenEarly.remove(id) != nil { return false }
        line[id] = .parked(continuation)
        return true
    }

    /// - Returns: `true` if the waiter was woken already.
    mutating func abandon(_ id: ID) -> Bool {
        if wokenEarly.remove(id) != nil { return true }
        line[id] = nil
        return false
    }

    mutating func remove(_ id: ID) -> UnsafeContinuation<Bool, Never>? {
        guard case .parked(let continuation)? = line[id] else { return nil }
        line[id] = nil
        return continuation
    }

    /// Takes the first waiter out of the line.
    ///
    /// Call `resume()` on the result after the lock is released.
    package mutating func wakeFirst() -> Wakeup {
        while let id = order.popFirst() {
            guard let slot = line.removeValue(forKey: id) else { continue }
            switch slot {
            case .reserved:
                wokenEarly.insert(id)
                return Wakeup(continuations: [], count: 1)
            case .parked(let continuation): return Wakeup(continuations: [continuation], count: 1)
            }
        }
        return Wakeup(continuations: [], count: 0)
    }

    /// Takes all waiters out of the line.
    ///
    /// Call `resume()` on the result after the lock is released.
    package mutating func wakeAll() -> Wakeup {
        var all = Wakeup(continuations: [], count: 0)
        while !line.isEmpty {
            let next = wakeFirst()
            all.continuations += next.continuations
            all.count += next.count
        }
        order = []
        return all
    }
}

/// Waiters taken out of a line, to be resumed once the lock is released.
package struct Wakeup: Sendable {
    fileprivate var continuations: [UnsafeContinuation<Bool, Never>]
    /// How many waiters it stands for.
    package fileprivate(set) var count: Int

    package func resume() {
        for continuation in continuations {
            continuation.resume(returning: true)
        }
    }
}
