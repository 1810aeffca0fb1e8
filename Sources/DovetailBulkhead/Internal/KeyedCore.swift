// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// What a keyed bulkhead and its permits share.
///
/// Specialized for the keys that most have: called from another module, the general form takes twelve times as long.
@usableFromInline
final class KeyedCore<Key: Hashable & Sendable>: Sendable {
    private let ledger: Mutex<KeyedLedger<Key>>
    private let rejections = Atomic<Int>(0)

    init(_ settings: KeyedBulkhead<Key>.Settings) {
        ledger = Mutex(KeyedLedger(settings))
    }

    @specialized(where Key == String)
    @specialized(where Key == Int)
    func takeOrQueue(_ key: Key, mayWait: Bool) -> KeyedLedger<Key>.Admission {
        ledger.withLock { ledger in ledger.takeOrQueue(key, mayWait: mayWait) }
    }

    func park(_ ticket: Ticket, _ waker: @escaping Waker) -> WaitOutcome? {
        ledger.withLock { ledger in ledger.park(ticket, waker) }
    }

    func settle(_ ticket: Ticket, _ outcome: WaitOutcome) {
        change { ledger, wakeups in ledger.settle(ticket, outcome, &wakeups) }
    }

    @specialized(where Key == String)
    @specialized(where Key == Int)
    @usableFromInline
    func give(room: Int) {
        change { ledger, wakeups in ledger.give(room: room, &wakeups) }
    }

    func apply(_ settings: KeyedBulkhead<Key>.Settings) {
        change { ledger, wakeups in ledger.apply(settings, &wakeups) }
    }

    func read<Result: Sendable>(_ body: (KeyedLedger<Key>) -> Result) -> Result {
        ledger.withLock { ledger in body(ledger) }
    }

    func countRejection() {
        rejections.wrappingAdd(1, ordering: .relaxed)
    }

    var rejected: Int { rejections.load(ordering: .relaxed) }

    /// Changes the accounts, and wakes whose wait has ended once the lock is released.
    private func change(_ body: (inout KeyedLedger<Key>, inout Wakeups) -> Void) {
        var wakeups = Wakeups()
        ledger.withLock { ledger in body(&ledger, &wakeups) }
        wakeups.run()
    }
}
