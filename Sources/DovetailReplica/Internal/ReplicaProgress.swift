// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// Decides when to write down how far the replica has come: one row that every message wrote to would hold them all up.
final class ReplicaProgress: Sendable {
    private let last = Mutex<MonotonicInstant?>(nil)
    private static let interval: Duration = .seconds(1)

    func isDue(_ now: MonotonicInstant) -> Bool {
        last.withLock { $0.map { now - $0 >= Self.interval } ?? true }
    }

    func wasWritten(_ now: MonotonicInstant) {
        last.withLock { $0 = now }
    }
}
