// SPDX-License-Identifier: Apache-2.0

/// Why a circuit breaker changed its state, or would have.
///
/// New reasons may be added in minor versions.
public struct TransitionReason: Sendable, Hashable, CustomStringConvertible {
    private enum Base: String, Sendable {
        case failureRate = "failure-rate"
        case slowCallRate = "slow-call-rate"
        case consecutiveFailures = "consecutive-failures"
        case waitOver = "wait-over"
        case probesSucceeded = "probes-succeeded"
        case probesFailed = "probes-failed"
        case probesOverdue = "probes-overdue"
        case requested
    }
    private let base: Base

    /// Too large a part of the calls failed.
    public static let failureRate = TransitionReason(base: .failureRate)

    /// Too large a part of the calls were slow.
    public static let slowCallRate = TransitionReason(base: .slowCallRate)

    /// Too many calls failed in a row.
    public static let consecutiveFailures = TransitionReason(base: .consecutiveFailures)

    /// It was open for as long as it had to be.
    public static let waitOver = TransitionReason(base: .waitOver)

    /// Enough probes succeeded.
    public static let probesSucceeded = TransitionReason(base: .probesSucceeded)

    /// Too many probes failed or were slow.
    public static let probesFailed = TransitionReason(base: .probesFailed)

    /// The probes did not end in time.
    public static let probesOverdue = TransitionReason(base: .probesOverdue)

    /// The program asked for it.
    public static let requested = TransitionReason(base: .requested)

    /// The name of the reason, such as `failure-rate`.
    public var description: String { base.rawValue }
}
