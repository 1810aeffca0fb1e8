// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The calls and retries of the last seconds, in slots that are forgotten one by one.
struct RetryWindow: Sendable {
    private struct Slot: Sendable {
        var calls: Int64 = 0
        var retries: Int64 = 0
    }

    private static let slotCount: Int64 = 10
    /// Shares are counted in millionths of a retry, so that no rounding decides.
    private static let whole: Int64 = 1_000_000

    private let share: Int64
    private let reserve: Int64
    private let slotLength: Int64
    private var slots = ContiguousArray(repeating: Slot(), count: Int(slotCount))
    /// The number of the latest slot, counted from the beginning of the clock.
    private var latest: Int64 = 0
    /// The sum of all slots.
    private var total = Slot()

    init(share: Double, perSecond: Double, length: Duration) {
        slotLength = max(1, length.nanoseconds / Self.slotCount)
        self.share = Self.millionths(share, atMost: 1_000)
        let seconds = Duration.nanoseconds(slotLength.saturatingMultiply(Self.slotCount)).inSeconds
        reserve = Self.millionths(Self.clamp(perSecond, atMost: 1_000_000) * seconds, atMost: 1_000_000_000_000)
    }

    private static func clamp(_ number: Double, atMost limit: Double) -> Double {
        number > 0 ? min(number, limit) : 0
    }

    private static func millionths(_ number: Double, atMost limit: Double) -> Int64 {
        Int64((clamp(number, atMost: limit) * Double(whole)).rounded())
    }

    mutating func recordCall(at instant: Int64) {
        let slot = advance(to: instant)
        slots[slot].calls += 1
        total.calls += 1
    }

    mutating func withdraw(at instant: Int64) -> Bool {
        let slot = advance(to: instant)
        guard left > 0 else { return false }
        slots[slot].retries += 1
        total.retries += 1
        return true
    }

    mutating func remaining(at instant: Int64) -> Int {
        _ = advance(to: instant)
        return Int(clamping: left)
    }

    /// What the calls bring and what is always there, less what was drawn.
    private var left: Int64 {
        let allowed = share.saturatingMultiply(total.calls).saturatingAdd(reserve) / Self.whole
        return max(0, allowed - total.retries)
    }

    /// Forgets what is too old.
    ///
    /// - Returns: The place of the slot for what happens now. An instant before the latest, from one who read the clock and
    ///   came late, counts as the latest.
    private mutating func advance(to instant: Int64) -> Int {
        let number = instant / slotLength
        if number > latest {
            let (passed, overflow) = number.subtractingReportingOverflow(latest)
            if overflow || passed >= Self.slotCount {
                for index in slots.indices { slots[index] = Slot() }
                total = Slot()
            } else {
                for old in (latest + 1)...number { forget(place(of: old)) }
            }
            latest = number
        }
        return place(of: latest)
    }

    private mutating func forget(_ place: Int) {
        total.calls -= slots[place].calls
        total.retries -= slots[place].retries
        slots[place] = Slot()
    }

    private func place(of number: Int64) -> Int {
        Int(((number % Self.slotCount) + Self.slotCount) % Self.slotCount)
    }
}
