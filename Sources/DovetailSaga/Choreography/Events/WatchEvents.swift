// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A hop of a conversation did not come in time.
public struct ConversationStalled: InstrumentEvent {
    /// `dovetail.conversation.stalled`.
    public static let name = "dovetail.conversation.stalled"

    /// The conversation and the hop.
    public let alert: ConversationAlert

    init(_ alert: ConversationAlert) {
        self.alert = alert
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        alert.visitDimensions(visit)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        alert.visitDetails(visit)
    }
}

/// A hop of a conversation that was late came after all.
public struct ConversationResumed: InstrumentEvent {
    /// `dovetail.conversation.resumed`.
    public static let name = "dovetail.conversation.resumed"

    /// The conversation and the hop.
    public let alert: ConversationAlert

    /// How late it was.
    public var duration: Duration? { alert.stall.resolvedAt.map { $0 - alert.stall.due } }

    init(_ alert: ConversationAlert) {
        self.alert = alert
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        alert.visitDimensions(visit)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        alert.visitDetails(visit)
    }
}

extension ConversationAlert {
    fileprivate func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.choreography", flow)
        visit("dovetail.participant", stall.participant)
        visit("dovetail.choreography.after", stall.after.map(\.rawValue).joined(inWords: "and"))
    }

    fileprivate func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.message.conversation_id", conversation.rawValue)
        visit("dovetail.choreography.expected", stall.expected.map(\.rawValue).joined(inWords: "or"))
    }
}

/// A watch could not look at its rows or tell of a stall, and tries again.
public struct ChoreographyWatchFailed: InstrumentEvent {
    /// `dovetail.choreography.watch_failed`.
    public static let name = "dovetail.choreography.watch_failed"

    /// The flow.
    public let flow: String

    /// What went wrong, redacted.
    public let error: String

    init(_ flow: String, error: String) {
        self.flow = flow
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.choreography", flow)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("exception.message", error)
    }
}
