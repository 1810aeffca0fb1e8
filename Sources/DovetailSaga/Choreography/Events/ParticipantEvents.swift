// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A conversation began with a participant.
public struct ConversationBegun: InstrumentEvent {
    /// `dovetail.conversation.begun`.
    public static let name = "dovetail.conversation.begun"

    /// The participant.
    public let participant: String

    /// The conversation.
    public let conversation: String

    init(_ participant: String, _ conversation: String) {
        self.participant = participant
        self.conversation = conversation
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.participant", participant)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.message.conversation_id", conversation)
    }
}

/// A participant ended its part in a conversation.
public struct ConversationEnded: InstrumentEvent {
    /// `dovetail.conversation.ended`.
    public static let name = "dovetail.conversation.ended"

    /// The participant.
    public let participant: String

    /// The conversation.
    public let conversation: String

    init(_ participant: String, _ conversation: String) {
        self.participant = participant
        self.conversation = conversation
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.participant", participant)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.message.conversation_id", conversation)
    }
}

/// A participant passed an event over, as declared.
public struct ConversationEventIgnored: InstrumentEvent {
    /// `dovetail.conversation.event_ignored`.
    public static let name = "dovetail.conversation.event_ignored"

    /// Why it was passed over.
    public enum Reason: String, Sendable {
        /// Its conversation is not known, see ``UnmatchedEvents``.
        case unmatched
        /// Its conversation has ended, see ``LateEvents``.
        case late
    }

    /// The participant.
    public let participant: String

    /// The attributes of the event.
    public let attributes: EnvelopeAttributes

    /// Why it was passed over.
    public let reason: Reason

    init(_ participant: String, _ attributes: EnvelopeAttributes, reason: Reason) {
        self.participant = participant
        self.attributes = attributes
        self.reason = reason
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.participant", participant)
        visit("dovetail.message.type", attributes.type.rawValue)
        visit("dovetail.conversation.reason", reason.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.message.id", attributes.id.rawValue)
        if let correlationID = attributes.correlationID {
            visit("messaging.message.conversation_id", correlationID.rawValue)
        }
    }
}

/// A deadline of a participant passed.
public struct DeadlinePassed: InstrumentEvent {
    /// `dovetail.conversation.deadline_passed`.
    public static let name = "dovetail.conversation.deadline_passed"

    /// The participant.
    public let participant: String

    /// The name of the deadline.
    public let deadline: String

    /// The conversation.
    public let conversation: String

    /// Whether it had been cancelled or set anew, or the conversation had ended, so that nothing came of it.
    public let isStale: Bool

    init(_ participant: String, _ deadline: String, _ conversation: String, isStale: Bool) {
        self.participant = participant
        self.deadline = deadline
        self.conversation = conversation
        self.isStale = isStale
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.participant", participant)
        visit("dovetail.conversation.deadline", deadline)
        visit("dovetail.conversation.stale", isStale ? "true" : "false")
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.message.conversation_id", conversation)
    }
}
