// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// How many more breakers there may be, in all shards together: keys are not spread evenly over those.
final class BreakerPlaces: Sendable {
    private let free: Atomic<Int>

    init(_ most: Int) {
        free = Atomic(most)
    }

    func take() -> Bool {
        var current = free.load(ordering: .relaxed)
        while current > 0 {
            let (isExchanged, original) = free.weakCompareExchange(
                expected: current, desired: current - 1, ordering: .relaxed)
            if isExchanged { return true }
            current = original
        }
        return false
    }

    func giveBack(_ count: Int) {
        free.wrappingAdd(count, ordering: .relaxed)
    }
}

/// A part of the breakers of many keys, behind a lock of its own.
final class BreakerShard<Key: Hashable & Sendable>: Sendable {
    private struct State: Sendable {
        var entries: [Key: CircuitBreaker] = [:]
        /// How many entries make it worth looking for what can be forgotten.
        var nextSweep = 64
    }

    private let state = Mutex(State())
    private let places: BreakerPlaces

    init(_ places: BreakerPlaces) {
        self.places = places
    }

    var count: Int { state.withLock { $0.entries.count } }

    /// All that are there; they are held, so none is forgotten meanwhile.
    var all: [(Key, CircuitBreaker)] { state.withLock { $0.entries.map { ($0.key, $0.value) } } }

    func find(_ key: Key) -> CircuitBreaker? {
        state.withLock { $0.entries[key] }
    }

    /// Adds a breaker unless the key has one.
    ///
    /// - Returns: The breaker of the key; `nil` if there is no room.
    func insert(_ new: CircuitBreaker, for key: Key, forgetAfter: Duration, now: MonotonicInstant) -> CircuitBreaker? {
        // What is forgotten is let go of after the lock: it holds errors of others.
        let (breaker, forgotten) = state.withLock { state -> (CircuitBreaker?, [CircuitBreaker]) in
            if let breaker = state.entries[key] { return (breaker, []) }
            var forgotten: [CircuitBreaker] = []
            // Each look at all entries is paid for by as many keys that came, so that a key costs the same on average.
            if state.entries.count >= state.nextSweep { forgotten = sweep(&state, forgetAfter, now) }
            guard places.take() else { return (nil, forgotten) }
            state.entries[key] = new
            return (new, forgotten)
        }
        withExtendedLifetime(forgotten) {}
        return breaker
    }

    func sweep(forgetAfter: Duration, now: MonotonicInstant) {
        let forgotten = state.withLock { sweep(&$0, forgetAfter, now) }
        withExtendedLifetime(forgotten) {}
    }

    private func sweep(_ state: inout State, _ forgetAfter: Duration, _ now: MonotonicInstant) -> [CircuitBreaker] {
        var forgotten: [Key] = []
        let second = Self.seconds(now)
        let patience = UInt32(clamping: forgetAfter.components.seconds)
        // By its indices one at a time: a loop over them would hold a copy, and with it every breaker.
        var index = state.entries.startIndex
        while index != state.entries.endIndex {
            // Not in anybody's hands, those of permits and calls under way included.
            if isKnownUniquelyReferenced(&state.entries.values[index]),
                state.entries.values[index].canBeForgotten(at: now, second, patience: patience)
            {
                forgotten.append(state.entries.keys[index])
            }
            state.entries.formIndex(after: &index)
        }
        places.giveBack(forgotten.count)
        defer { state.nextSweep = max(64, state.entries.count * 2) }
        return forgotten.compactMap { state.entries.removeValue(forKey: $0) }
    }

    /// Enough to tell minutes from hours; after 136 years a breaker may be kept longer than need be.
    static func seconds(_ instant: MonotonicInstant) -> UInt32 {
        UInt32(truncatingIfNeeded: instant.nanoseconds / 1_000_000_000)
    }
}
