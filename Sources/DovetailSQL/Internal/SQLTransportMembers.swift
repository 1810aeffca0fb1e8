// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// The members of this program, to wake them when something was published in it.
final class SQLTransportMembers: Sendable {
    private struct Member: Sendable {
        let topics: Set<Topic>
        let wakeUp: WakeUp
    }

    private let members = Mutex<[Int64: Member]>([:])

    func add(_ token: Int64, readingFrom topics: Set<Topic>) -> WakeUp {
        let wakeUp = WakeUp()
        members.withLock { $0[token] = Member(topics: topics, wakeUp: wakeUp) }
        return wakeUp
    }

    func remove(_ token: Int64) {
        members.withLock { _ = $0.removeValue(forKey: token) }
    }

    func wake(readersOf topics: Set<Topic>) {
        let readers = members.withLock { $0.values.filter { !$0.topics.isDisjoint(with: topics) } }
        for reader in readers { reader.wakeUp.notify() }
    }
}
