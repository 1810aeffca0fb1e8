// SPDX-License-Identifier: Apache-2.0

/// How many calls a circuit breaker has dealt with since it was made.
///
/// Those that are under way while it is closed are not among them: counting them would cost each call a write to memory that
/// all share. A bulkhead counts them.
public struct CallTotals: Sendable, Hashable {
    /// How many succeeded in the state that let them through.
    public internal(set) var successes = 0

    /// How many failed in the state that let them through.
    public internal(set) var failures = 0

    /// How many said nothing.
    public internal(set) var neutral = 0

    /// How many ended after the state that had let them through, and changed nothing.
    public internal(set) var late = 0

    /// How many were not let through.
    public internal(set) var rejected = 0

    /// All that ended, while calls were counted.
    public var ended: Int { successes + failures + neutral + late }
}
