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
        /// Was cancelled, and left its place behind.
        case left
    }

    private struct Place: Sendable {
        let id: ID
        var slot: Slot
    }

    private var lastID: ID = 0
    /// In the order of their identifiers, so that a place is found by halving.
    private var line = RingBuffer<Place>()

    /// How many wait.
    package private(set) var count = 0
    package var isEmpty: Bool { count == 0 }
    /// How many places the line takes up, those that were left included.
    var places: Int { line.count }

    package init() {}

    package mutating func reserve() -> ID {
        lastID += 1
        line.append(Place(id: lastID, slot: .reserved))
        count += 1
        return lastID
    }

    /// - Returns: `false` if the waiter was woken already and must not suspend.
    mutating func park(_ continuation: UnsafeContinuation<Bool, Never>, as id: ID) -> Bool {
        // Before a waiter suspends, it can only have left the line by being woken.
        guard let index = index(of: id) else { return false }
        line.replace(at: index, with: Place(id: id, slot: .parked(continuation)))
        return true
    }

    /// - Returns: `true` if the waiter was woken already.
    mutating func abandon(_ id: ID) -> Bool {
        guard let index = index(of: id) else { return true }
        leave(at: index, id)
        return false
    }

    mutating func remove(_ id: ID) -> UnsafeContinuation<Bool, Never>? {
        guard let index = index(of: id), case .parked(let continuation)? = line[index]?.slot else { return nil }
        leave(at: index, id)
        return continuation
    }

    private func index(of id: ID) -> Int? {
        var (low, high) = (0, line.count)
        while low < high {
            let middle = (low + high) / 2
            guard let place = line[middle], place.id < id else {
                high = middle
                continue
            }
            low = middle + 1
        }
        guard let place = line[low], place.id == id else { return nil }
        if case .left = place.slot { return nil }
        return low
    }

    private mutating func leave(at index: Int, _ id: ID) {
        line.replace(at: index, with: Place(id: id, slot: .left))
        count -= 1
        guard line.count > 2 * count + 16 else { return }
        var remaining = RingBuffer<Place>()
        while let place = line.popFirst() {
            if case .left = place.slot { continue }
            remaining.append(place)
        }
        line = remaining
    }

    /// Takes the first waiter out of the line.
    ///
    /// Call `resume()` on the result after the lock is released.
    package mutating func wakeFirst() -> Wakeup {
        while let place = line.popFirst() {
            switch place.slot {
            case .left: continue
            case .reserved:
                count -= 1
                return Wakeup(count: 1)
            case .parked(let continuation):
                count -= 1
                return Wakeup(first: continuation, count: 1)
            }
        }
        return Wakeup()
    }

    /// Takes all waiters out of the line.
    ///
    /// Call `resume()` on the result after the lock is released.
    package mutating func wakeAll() -> Wakeup {
        var all = Wakeup()
        while !isEmpty {
            let next = wakeFirst()
            if let first = next.first { all.others.append(first) }
            all.count += next.count
        }
        return all
    }
}

/// Waiters taken out of a line, to be resumed once the lock is released.
package struct Wakeup: Sendable {
    fileprivate var first: UnsafeContinuation<Bool, Never>?
    fileprivate var others: [UnsafeContinuation<Bool, Never>] = []
    /// How many waiters it stands for, those that have not suspended yet included.
    package fileprivate(set) var count = 0

    package func resume() {
        first?.resume(returning: true)
        for continuation in others { continuation.resume(returning: true) }
    }
}
