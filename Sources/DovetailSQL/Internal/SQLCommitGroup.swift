// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// The transactions of one database that share commits.
///
/// One of them leads: it has the connection and begins. When its body has ended, it lends the connection to those that came
/// meanwhile, one after the other, each within a savepoint; then it commits for all. The first that comes while it commits leads
/// the next group.
final class SQLCommitGroup<Connection: SQLConnection>: Sendable {
    /// How many may share a commit; the first waits for the last.
    static var mostMembers: Int { 32 }

    /// What one is to do that has joined.
    enum Role: Sendable {
        /// Begin a transaction, and commit for others.
        case lead
        /// Run within the transaction of the one that leads.
        case part(Connection)
        /// Run alone, since the one that leads has failed.
        case alone
    }

    /// One that has joined and is to take part.
    final class Seat: Sendable {
        private struct State: Sendable {
            var role: Role?
            var isLeft = false
            var waiters = WaiterList()
        }

        private let state = Monitor(State())
        /// Whether the connection is as the one that leads needs it.
        let isIntact = Outcome<Bool>()
        /// Whether the commit was carried out.
        let isCommitted = Outcome<Bool>()

        fileprivate init() {}

        /// Gives it something to do.
        ///
        /// - Returns: Whether it is still there.
        func give(_ role: Role) -> Bool {
            let wakeUp = state.withLock { state -> Wakeup? in
                guard !state.isLeft, state.role == nil else { return nil }
                state.role = role
                return state.waiters.wakeAll()
            }
            wakeUp?.resume()
            return wakeUp != nil
        }

        /// Waits for something to do.
        ///
        /// - Returns: `nil` if the task was cancelled before there was something.
        fileprivate func role() async -> Role? {
            do {
                return try await state.wait(in: \.waiters) { $0.role }
            } catch {
                return state.withLock { state in
                    state.isLeft = state.role == nil
                    return state.role
                }
            }
        }
    }

    private struct State: Sendable {
        var isLed = false
        var line = RingBuffer<Seat>()
    }

    private let state = Mutex(State())

    /// Joins those that share commits.
    ///
    /// - Returns: What to do, and the seat to tell when that is done, unless it is to lead.
    /// - Throws: `CancellationError` if the task is cancelled before it has a role.
    func join() async throws -> (role: Role, seat: Seat?) {
        let seat = state.withLock { state -> Seat? in
            guard state.isLed else {
                state.isLed = true
                return nil
            }
            let seat = Seat()
            state.line.append(seat)
            return seat
        }
        guard let seat else { return (.lead, nil) }
        guard let role = await seat.role() else { throw CancellationError() }
        return (role, seat)
    }

    /// How many have joined and not been given anything to do.
    var waiting: Int { state.withLock { $0.line.count } }

    /// The next that has joined and not been given anything to do; it may have left.
    func next() -> Seat? {
        state.withLock { $0.line.popFirst() }
    }

    /// Lets another lead.
    func resign() {
        while true {
            let next = state.withLock { state -> Seat? in
                let next = state.line.popFirst()
                state.isLed = next != nil
                return next
            }
            guard let next, !next.give(.lead) else { return }
        }
    }
}

/// Something that becomes known once, for one who waits for it although the task is cancelled.
final class Outcome<Value: Sendable>: Sendable {
    private enum State: Sendable {
        case open
        case awaited(UnsafeContinuation<Value, Never>)
        case known(Value)
    }

    private let state = Mutex(State.open)

    init() {}

    /// Makes it known; what comes later is not heard.
    func settle(_ value: Value) {
        let waiter = state.withLock { state -> UnsafeContinuation<Value, Never>? in
            switch state {
            case .open: state = .known(value)
            case .awaited(let waiter):
                state = .known(value)
                return waiter
            case .known: break
            }
            return nil
        }
        waiter?.resume(returning: value)
    }

    /// Waits until it is known; for one task.
    var value: Value {
        get async {
            await withUnsafeContinuation { continuation in
                let known = state.withLock { state -> Value? in
                    if case .known(let value) = state { return value }
                    state = .awaited(continuation)
                    return nil
                }
                if let known { continuation.resume(returning: known) }
            }
        }
    }
}
