// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// When the people who look after dead letters are to hear of them.
///
/// A rule is looked at for each queue and tier by itself.
///
/// ```swift
/// let rules = [
///     AlertRule("gold", filter: DeadLetterFilter(tier: "gold"), severity: .critical),
///     AlertRule("many", threshold: 100, window: .seconds(3600), severity: .warning),
/// ]
/// ```
public struct AlertRule: Sendable, Hashable {
    /// Names the rule.
    public let name: String

    /// Which letters count.
    public var filter: DeadLetterFilter

    /// How many letters there must be within the window.
    public var threshold: Int

    /// How far back to look.
    public var window: Duration

    /// How bad it is.
    public var severity: AlertSeverity

    /// Any letter within five minutes.
    public static let anyLetter = AlertRule("any dead letter")

    /// Creates a rule.
    ///
    /// - Parameters:
    ///   - name: Names the rule; what is remembered of an alert goes by it.
    ///   - filter: Which letters count.
    ///   - threshold: How many letters there must be within the window; at least 1.
    ///   - window: How far back to look; five minutes unless given.
    ///   - severity: How bad it is.
    public init(
        _ name: String, filter: DeadLetterFilter = .all, threshold: Int = 1, window: Duration = .seconds(300),
        severity: AlertSeverity = .error
    ) {
        self.name = name
        self.filter = filter
        self.threshold = max(1, threshold)
        self.window = max(.zero, window)
        self.severity = severity
    }
}

/// How bad it is, in the words of PagerDuty.
///
/// Open.
public struct AlertSeverity: TextValue {
    /// The word.
    public let rawValue: String

    /// Creates a severity with this word.
    ///
    /// - Parameter rawValue: The word.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// Good to know.
    public static let info: AlertSeverity = "info"

    /// Look at it in the morning.
    public static let warning: AlertSeverity = "warning"

    /// Look at it today.
    public static let error: AlertSeverity = "error"

    /// Get up.
    public static let critical: AlertSeverity = "critical"
}
