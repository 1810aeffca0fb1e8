// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// Looks, while the body of a step runs, whether there is something to do for the steps beside it.
///
/// What it is to look for changes with each commit; who looks stays the same.
final class SagaWatch: Sendable {
    struct Outlook: Sendable {
        /// When time alone brings something about.
        let due: Timestamp?
        /// How many messages the owner of the saga has seen.
        let seen: Int64
    }

    private struct State: Sendable {
        var outlook: Outlook?
        /// Whether a message may have come since the database was last asked.
        var isHinted = false
    }

    private let state = Mutex(State())
    private let wakeUp = WakeUp()

    /// Has it look for this from now on; for nothing if `nil`.
    func look(for outlook: Outlook?) {
        state.withLock { $0.outlook = outlook }
        wakeUp.notify()
    }

    /// Has it look at once, since a message may have come.
    func hint() {
        state.withLock { $0.isHinted = true }
        wakeUp.notify()
    }

    /// Waits until there is something to do.
    ///
    /// It is seen in the database before it is told: what cannot be committed now must not cost the body that runs.
    ///
    /// - Parameters:
    ///   - clock: The time of the store.
    ///   - interval: How often to look when no hint comes.
    ///   - time: The clock to wait by.
    ///   - signals: Asks how many messages have been counted with the saga.
    /// - Returns: That number; `nil` if the task was cancelled.
    func wait(
        by clock: StoreClock, every interval: Duration, _ time: any TimeSource,
        signals: @Sendable () async throws -> Int64
    ) async -> Int64? {
        var lastLook = time.monotonic()
        do {
            while true {
                guard let first = state.withLock({ $0.outlook }) else {
                    try await wakeUp.wait()
                    continue
                }
                let rest = max(.zero, interval - (time.monotonic() - lastLook))
                let untilDue = first.due.map { max(.zero, $0 - clock.now) } ?? rest
                let isWoken = try await wakeUp.wait(atMost: min(untilDue, rest), time: time)
                let isHinted = state.withLock { state in
                    defer { state.isHinted = false }
                    return state.isHinted
                }
                // A commit of its own has told what is to be looked for, and how many messages there are.
                if isWoken, !isHinted { continue }
                lastLook = time.monotonic()
                guard let count = try? await signals() else {
                    try await time.sleep(for: interval)
                    continue
                }
                // Something else may be looked for by now.
                guard let current = state.withLock({ $0.outlook }) else { continue }
                if count > current.seen || current.due.map({ $0 <= clock.now }) ?? false { return count }
            }
        } catch {
            return nil
        }
    }
}
