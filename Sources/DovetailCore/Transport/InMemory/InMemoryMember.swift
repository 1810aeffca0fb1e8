// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// The identity of a member and the way to wake it; what a topic keeps of a subscription.
final class InMemoryMember: Sendable {
    let wakeUp = WakeUp()
    private let closed = Atomic(false)

    /// Set before a topic is told, and read under its lock: once told, a topic hands nothing out any more.
    var isClosed: Bool { closed.load(ordering: .acquiring) }

    /// - Returns: Whether it was open.
    func close() -> Bool {
        !closed.exchange(true, ordering: .acquiringAndReleasing)
    }
}
