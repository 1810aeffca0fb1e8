// SPDX-License-Identifier: Apache-2.0

public import Synchronization

/// What a bulkhead and its permits share.
///
/// ## Who counts
///
/// The free permits are counted in one place at a time. The *word* counts them while it is zero or more: a permit is then
/// taken and given back by one compare-and-exchange each, and no lock. While the word is ``underLock`` the *ledger* counts
/// them, behind its lock. The counting changes hands only under the lock:
///
/// - from word to ledger when a caller is to wait, by an exchange of exactly zero for ``underLock``; or when a limit shrinks
///   below what is out. Each is a single compare-and-exchange, so a permit that is given back at the same time either
///   came first, and then the exchange fails and is decided anew, or comes later, finds the word below zero and goes to
///   the lock, where the waiter stands in line already.
/// - from ledger to word once nobody waits and not too many permits are out.
///
/// So no permit is given to the word while somebody waits, and none is lost between a waiter's look at the word and its
/// place in the line. Nor can a caller that arrives overtake: while somebody waits the word is below zero, and no one takes a
/// permit from it.
///
/// ## Who keeps this alive
///
/// A permit refers to this without retaining it, since retaining costs as much as taking the permit. Instead the bulkhead
/// ``abandon()``s this when it goes: if permits are out then, this retains itself, the counting stays with the ledger, and the
/// last permit to come back releases it. A permit that is given back to the word does not touch this afterwards, and one that
/// is given back to the ledger retains this for as long as it does.
@usableFromInline
final class BulkheadCore: Sendable {
    /// What the word is while the ledger counts.
    static let underLock = -1

    /// The free permits, or ``underLock``.
    @usableFromInline let word: Atomic<Int>
    private let ledger: Mutex<BulkheadLedger>
    // Behind the ledger, away from the word: those who are turned away do not slow down those who are not.
    @usableFromInline let rejections = Atomic<Int>(0)
    /// The limit if nobody may wait, below zero otherwise, so that turning callers away needs no lock either.
    private let limitWithoutQueue: Atomic<Int>

    init(_ settings: Bulkhead.Settings) {
        word = Atomic(settings.limit)
        ledger = Mutex(BulkheadLedger(settings))
        limitWithoutQueue = Atomic(settings.mayWait ? -1 : settings.limit)
    }

    // MARK: Without the lock

    /// Takes a permit if one is free and nobody waits for it.
    @inlinable
    @inline(__always)
    func take() -> Bool {
        var free = word.load(ordering: .relaxed)
        while free > 0 {
            let (isTaken, found) = word.weakCompareExchange(
                expected: free, desired: free &- 1, successOrdering: .acquiring, failureOrdering: .relaxed)
            if isTaken { return true }
            free = found
        }
        return false
    }

    /// Gives a permit back.
    @inlinable
    @inline(__always)
    func give() {
        var free = word.load(ordering: .relaxed)
        while free >= 0 {
            let (isGiven, found) = word.weakCompareExchange(
                expected: free, desired: free &+ 1, successOrdering: .releasing, failureOrdering: .relaxed)
            if isGiven { return }
            free = found
        }
        giveUnderLock()
    }

    /// The limit, if no permit is free and nobody may wait for one; `nil` if there is more to say.
    var limitThatIsReached: Int? {
        let limit = limitWithoutQueue.load(ordering: .relaxed)
        return limit >= 0 && word.load(ordering: .relaxed) <= 0 ? limit : nil
    }

    // MARK: Under the lock

    /// What became of a caller that found no free permit.
    enum Admission: Sendable {
        case taken
        case queued(Ticket, longestWait: Duration?)
        case refused(BulkheadError.Code, Bulkhead.Settings)
    }

    /// Takes a permit after all, or a place in the line.
    func takeOrQueue() -> Admission {
        if let limit = limitThatIsReached { return .refused(.full, Bulkhead.Settings(limit: limit)) }
        return withLedger { ledger, _ in
            while ledger.free == nil {
                let free = word.load(ordering: .relaxed)
                if free > 0 {
                    if exchange(free, for: free - 1) { return .taken }
                } else {
                    if let refusal = ledger.refusal { return .refused(refusal, ledger.settings) }
                    if exchange(0, for: Self.underLock) { ledger.open(free: 0) }
                }
            }
            if let refusal = ledger.refusal { return .refused(refusal, ledger.settings) }
            return .queued(ledger.queue(), longestWait: ledger.settings.longestWait)
        }
    }

    /// Gives a waiter what wakes it, or says how its wait has ended.
    func park(_ ticket: Ticket, _ waker: @escaping Waker) -> WaitOutcome? {
        withLedger { ledger, _ in ledger.park(ticket, waker) }
    }

    /// Ends a wait, unless it has ended.
    func settle(_ ticket: Ticket, _ outcome: WaitOutcome) {
        withLedger { ledger, wakeups in ledger.settle(ticket, outcome, &wakeups) }
    }

    @usableFromInline
    @inline(never)
    func giveUnderLock() {
        // Until the lock is released, whoever else gives the last permit back must not free what it is in.
        let own = Unmanaged.passRetained(self)
        defer { own.release() }
        let isOver = withLedger { ledger, wakeups in
            // The counting may have gone back to the word meanwhile; as long as the lock is held, it stays there.
            guard ledger.free != nil else {
                word.wrappingAdd(1, ordering: .releasing)
                return false
            }
            ledger.give(&wakeups)
            return ledger.isOver
        }
        if isOver { Unmanaged.passUnretained(self).release() }
    }

    /// Changes what is allowed.
    ///
    /// - Parameter change: Makes new settings of the old; called under the lock.
    /// - Returns: What was allowed before, and what is now.
    func apply(
        _ change: (Bulkhead.Settings) -> Bulkhead.Settings
    ) -> (old: Bulkhead.Settings, new: Bulkhead.Settings) {
        withLedger { ledger, wakeups in
            let old = ledger.settings
            let growth = ledger.apply(change(old), &wakeups)
            limitWithoutQueue.store(ledger.settings.mayWait ? -1 : ledger.settings.limit, ordering: .relaxed)
            while ledger.free == nil {
                let free = word.load(ordering: .relaxed)
                if free + growth >= 0 {
                    if exchange(free, for: free + growth) { break }
                } else if exchange(free, for: Self.underLock) {
                    ledger.open(free: free + growth)
                }
            }
            return (old, ledger.settings)
        }
    }

    /// Called once, when nobody can ask for a permit any more.
    func abandon() {
        withLedger { ledger, _ in
            if ledger.free == nil { ledger.open(free: word.exchange(Self.underLock, ordering: .acquiringAndReleasing)) }
            // Before the lock is released, since the last permit may come back right after.
            if ledger.abandon() { _ = Unmanaged.passRetained(self) }
        }
    }

    // MARK: Figures

    /// The settings, the free permits (negative if too many are out) and how many wait, all at one moment.
    var figures: (settings: Bulkhead.Settings, free: Int, waiting: Int) {
        withLedger { ledger, _ in
            (ledger.settings, ledger.free ?? word.load(ordering: .relaxed), ledger.waiting)
        }
    }

    @inlinable
    @inline(__always)
    func countRejection() {
        rejections.wrappingAdd(1, ordering: .relaxed)
    }

    var rejected: Int { rejections.load(ordering: .relaxed) }

    /// Works on the ledger, gives the counting back to the word if it can, and wakes whose wait has ended.
    private func withLedger<Result>(_ body: (inout BulkheadLedger, inout Wakeups) -> Result) -> Result {
        var wakeups = Wakeups()
        let result = ledger.withLock { ledger in
            let result = body(&ledger, &wakeups)
            if let free = ledger.close() { word.store(free, ordering: .releasing) }
            return result
        }
        wakeups.run()
        return result
    }

    private func exchange(_ expected: Int, for desired: Int) -> Bool {
        word.compareExchange(expected: expected, desired: desired, ordering: .acquiringAndReleasing).exchanged
    }
}
