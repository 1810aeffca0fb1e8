// SPDX-License-Identifier: Apache-2.0

/// What a call needs to know of a breaker to pass, and successes not yet told to its core, in one word.
///
/// The word is what makes the path of a call through a closed breaker two steps without a lock: a load to be let through and
/// a compare-and-exchange that adds one to ``pending`` when it succeeds. That is exact, not an estimate: successes that were
/// not slow are all alike, and they are added to the window, all of them, before the next thing is that is not one. The order
/// in which a lock would have let them in is among the orders that this stands for. Where a success would change more than a
/// count (because it could open the breaker, or belongs to the next bucket), the owner of the lock takes ``isCounting`` away
/// and the success takes the lock too.
struct AdmissionWord: RawRepresentable, Sendable, Hashable {
    let rawValue: UInt64

    private static let admits: UInt64 = 1
    private static let counting: UInt64 = 1 << 1
    private static let deaf: UInt64 = 1 << 2
    private static let pendingShift: UInt64 = 3
    private static let pendingMask: UInt64 = (1 << 17) - 1
    private static let rotationShift: UInt64 = 20
    private static let rotationMask: UInt64 = (1 << 12) - 1
    private static let generationShift: UInt64 = 32

    /// What an `and` leaves of a word when the lock is taken: calls are still let through, successes are no longer added.
    static let frozen = ~(counting | pendingMask << pendingShift)

    /// The most successes that a word can hold.
    static let mostPending = Int(pendingMask)

    init(rawValue: UInt64) {
        self.rawValue = rawValue
    }

    init(generation: UInt32, rotation: UInt32, admits: Bool, isCounting: Bool, isDeaf: Bool) {
        rawValue =
            UInt64(generation) << Self.generationShift
            | (UInt64(rotation) & Self.rotationMask) << Self.rotationShift
            | (admits ? Self.admits : 0) | (isCounting ? Self.counting : 0) | (isDeaf ? Self.deaf : 0)
    }

    /// Whether calls are let through without a further look.
    var admits: Bool { rawValue & Self.admits != 0 }

    /// Whether a success that was not slow may be added here.
    var isCounting: Bool { rawValue & Self.counting != 0 }

    /// Whether nobody wants to know how calls end.
    var isDeaf: Bool { rawValue & Self.deaf != 0 }

    /// How many successes were added since the lock was last taken.
    var pending: Int { Int(rawValue >> Self.pendingShift & Self.pendingMask) }

    /// Tells one bucket of a time window from the next, so that a success is never added to another than was looked at.
    var rotation: UInt32 { UInt32(rawValue >> Self.rotationShift & Self.rotationMask) }

    /// The state that lets calls through now.
    var generation: UInt32 { UInt32(rawValue >> Self.generationShift) }

    /// The word with another success; `nil` if it holds no more.
    var addingSuccess: AdmissionWord? {
        pending < Self.mostPending ? AdmissionWord(rawValue: rawValue + 1 << Self.pendingShift) : nil
    }
}
