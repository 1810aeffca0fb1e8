// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A time in the half-open state: a number of probes, and when their ends are enough to decide.
struct ProbeTrial: Sendable, Hashable {
    enum Verdict: Sendable, Hashable { case undecided, pass, fail }

    /// How many probes decide.
    let quota: Int
    /// As many failures make it fail.
    private let failuresToFail: Int
    /// As many slow probes make it fail.
    private let slowToFail: Int
    /// How long probes may be under way.
    private let longest: Duration
    /// When those that are under way are overdue; `nil` if there are none, since who is not asked cannot be late, and
    /// if the clock ends before.
    private(set) var deadline: MonotonicInstant?

    private(set) var inFlight = 0
    private var counts = CallCounts()

    init(_ settings: CircuitBreakerSettings) {
        quota = settings.probes
        longest = settings.longestHalfOpen
        if let successes = settings.probeSuccesses {
            failuresToFail = quota - min(successes, quota) + 1
        } else if let rate = settings.failureRate {
            failuresToFail = Self.least(of: quota, reaching: rate)
        } else {
            failuresToFail = 1
        }
        slowToFail = settings.slowCallRate.map { Self.least(of: settings.probes, reaching: $0) } ?? quota + 1
    }

    /// The least number out of a total that is at or above a rate.
    private static func least(of total: Int, reaching rate: Double) -> Int {
        // The rounded-up product may be off by one either way; the comparison that closed breakers use decides.
        var part = max(1, Int((rate * Double(total)).rounded(.up)) - 1)
        while Double(part) / Double(total) < rate { part += 1 }
        return part
    }

    var figures: CallFigures { counts.figures }

    /// Takes the place of a probe, if one is free.
    mutating func take(at now: MonotonicInstant) -> Bool {
        guard inFlight + Int(counts.total) < quota else { return false }
        if inFlight == 0 {
            let end = now + longest
            deadline = end > now ? end : nil
        }
        inFlight += 1
        return true
    }

    /// Frees the place of a probe that said nothing.
    mutating func giveBack() {
        inFlight -= 1
        if inFlight == 0 { deadline = nil }
    }

    /// Takes note of a probe that ended, and decides as soon as no further end can change the decision.
    mutating func settle(_ call: CountedCall) -> Verdict {
        giveBack()
        counts.add(call)
        if counts.failures >= failuresToFail || counts.slow >= slowToFail { return .fail }
        let remaining = quota - Int(counts.total)
        let isSafe = Int(counts.failures) + remaining < failuresToFail && Int(counts.slow) + remaining < slowToFail
        return isSafe ? .pass : .undecided
    }
}
