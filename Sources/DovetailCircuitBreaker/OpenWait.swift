// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// How long a circuit breaker stays open before it lets probes through.
///
/// ```swift
/// settings.openWait = .exponential(from: .seconds(5), upTo: .seconds(300))
/// ```
public struct OpenWait: Sendable {
    private let rule: @Sendable (_ attempt: Int, _ random: any RandomSource) -> Duration

    private init(rule: @escaping @Sendable (_ attempt: Int, _ random: any RandomSource) -> Duration) {
        self.rule = rule
    }

    /// The same wait each time.
    ///
    /// - Parameter wait: How long.
    /// - Returns: The rule.
    public static func fixed(_ wait: Duration) -> OpenWait {
        OpenWait { _, _ in wait }
    }

    /// A wait that depends on how often the breaker has opened again without closing in between.
    ///
    /// - Parameter wait: Given 0 when a closed breaker opens, 1 when its probes failed and it opens again, and so on; from 0
    ///   again after it has closed. Never called while a lock is held. Where two tasks open the breaker at the same moment
    ///   both may ask, and one answer is used.
    /// - Returns: The rule.
    public static func byAttempt(_ wait: @escaping @Sendable (_ attempt: Int) -> Duration) -> OpenWait {
        OpenWait { attempt, _ in wait(attempt) }
    }

    /// A wait that grows each time the probes fail, so that what is down for long is asked less often.
    ///
    /// - Parameters:
    ///   - base: The first wait.
    ///   - factor: By what each wait is longer than the one before; at least 1.
    ///   - cap: The longest wait.
    ///   - jitter: How far waits are spread, so that the replicas of a service do not send their probes together.
    /// - Returns: The rule.
    public static func exponential(
        from base: Duration, factor: Double = 2, upTo cap: Duration, jitter: Jitter = .none
    ) -> OpenWait {
        let backoff = ExponentialBackoff(from: base, factor: factor, upTo: cap, jitter: jitter, attempts: .max)
        return OpenWait { attempt, random in
            backoff.delay(after: attempt == .max ? attempt : attempt + 1, random: random)
        }
    }

    /// The wait after an opening; not negative.
    func duration(attempt: Int, random: any RandomSource) -> Duration {
        max(.zero, rule(attempt, random))
    }
}
