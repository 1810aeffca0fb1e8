// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// An alert was raised or resolved, and every sink has it.
public struct DeadLetterAlertSent: InstrumentEvent {
    /// `dovetail.dead_letter.alert`.
    public static let name = "dovetail.dead_letter.alert"

    /// The alert.
    public let alert: DeadLetterAlert

    /// Creates the event.
    ///
    /// - Parameter alert: The alert.
    public init(_ alert: DeadLetterAlert) {
        self.alert = alert
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.dead_letter.alert.kind", alert.kind.rawValue)
        visit("dovetail.dead_letter.alert.rule", alert.rule.name)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.dead_letter.queue", alert.queue.rawValue)
        visit("dovetail.dead_letter.tier", alert.tier.rawValue)
        visit("dovetail.count", String(alert.count))
    }
}

/// Dead letters could not be looked at, or a sink did not take an alert.
public struct DeadLetterAlertFailed: InstrumentEvent {
    /// `dovetail.dead_letter.alert_failed`.
    public static let name = "dovetail.dead_letter.alert_failed"

    /// The service whose letters are watched.
    public let service: String

    /// What went wrong, redacted.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - service: The service whose letters are watched.
    ///   - error: What went wrong, redacted.
    public init(service: String, error: String) {
        self.service = service
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.service", service)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("exception.message", error)
    }
}
