// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// One conversation as a ``ChoreographyWatch`` has seen it.
public struct Conversation: Sendable {
    /// A message of the conversation.
    public struct Message: Codable, Sendable, Hashable {
        /// Its identity.
        public let id: MessageID

        /// Its type.
        public let type: MessageType

        /// The major part of its version.
        public let major: Int

        /// Who published it.
        public let source: MessageSource

        /// The message that caused it; `nil` if it names none.
        public let cause: MessageID?

        /// When the watch saw it.
        public let seenAt: Timestamp
    }

    /// Where a conversation stands.
    public enum State: Sendable, Hashable {
        /// All is in time.
        case running
        /// Something is late.
        case stalled
        /// It has come to the end of this name, and nothing is still to come.
        case ended(String)
    }

    /// What the messages of the conversation have in common.
    public let id: CorrelationID

    /// Its messages, in the order in which the watch saw them, each once.
    public let messages: [Message]

    /// How many more there were than the watch keeps of one conversation.
    public let uncounted: Int

    /// Where it stands.
    public let state: State

    /// Everything that was late so far, made good or not.
    public let stalls: [Stall]
}

/// A hop that did not come in time.
public struct Stall: Codable, Sendable, Hashable {
    /// Who should have made the move.
    public let participant: String

    /// What the participant should have reacted to.
    public let after: [MessageType]

    /// What should have come of it: one of these.
    public let expected: [MessageType]

    /// When the last of what it waits for was seen.
    public let since: Timestamp

    /// By when it should have come.
    public let due: Timestamp

    /// When it came after all; `nil` if it has not.
    public internal(set) var resolvedAt: Timestamp?

    /// Which hop it is, and which round of it.
    let hop: String
    let round: Int
    var toldRaised = false
    var toldResolved = false
}

/// What a ``ChoreographyWatch`` tells those who are to know that a conversation has stalled, or goes on.
public struct ConversationAlert: Sendable, Hashable {
    /// What happened.
    public enum Kind: String, Sendable {
        /// A hop did not come in time.
        case stalled
        /// It came after all.
        case resolved
    }

    /// The flow.
    public let flow: String

    /// The conversation.
    public let conversation: CorrelationID

    /// What happened.
    public let kind: Kind

    /// The hop.
    public let stall: Stall

    /// Names the stall: the same for the alert that raises it and the one that resolves it, also when it is told again.
    public var key: String { "\(flow)/\(conversation)/\(stall.hop)#\(stall.round)" }

    /// The alert in one line, for a person.
    public var message: String {
        let expected = stall.expected.map(\.rawValue).joined(inWords: "or")
        let after = stall.after.map(\.rawValue).joined(inWords: "and")
        return switch kind {
        case .stalled:
            "The conversation '\(conversation)' of the flow '\(flow)' has stalled: '\(stall.participant)' was to answer \(after) "
                + "with \(expected) by \(stall.due.rfc3339). Look whether '\(stall.participant)' runs, and at its dead letters."
        case .resolved:
            "The conversation '\(conversation)' of the flow '\(flow)' goes on: '\(stall.participant)' has answered \(after)."
        }
    }
}
