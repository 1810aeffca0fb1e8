// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Tells a ``Participant`` that one of its deadlines has passed.
///
/// A participant schedules it in its own outbox and reads it itself, from a topic of its own. It says which setting of the
/// deadline it is about, so that one that was cancelled or set anew changes nothing when it comes.
public struct ParticipantDeadline: Event {
    /// `dovetail.participant.deadline`.
    public static let type: MessageType = "dovetail.participant.deadline"

    /// The participant.
    public let participant: String

    /// The conversation.
    public let conversation: String

    /// The name of the deadline.
    public let deadline: String

    /// Which setting of the deadline it is about.
    public let token: String

    /// When it passes.
    public let due: Timestamp

    /// The conversation.
    public var partitionKey: PartitionKey? { PartitionKey(conversation) }

    /// The topic on which a participant reads its own deadlines.
    ///
    /// - Parameter participant: The name of the participant.
    /// - Returns: The topic, such as `dovetail.deadlines.payments`.
    public static func topic(of participant: String) -> Topic { Topic("dovetail.deadlines.\(participant)") }

    /// The name of the deadline that a message tells of; `nil` if it tells of none.
    static func name(in envelope: Envelope<Bytes>) -> String? {
        guard envelope.type == type else { return nil }
        return try? JSONDecoder().decode(Name.self, from: Data(envelope.payload)).deadline
    }

    private struct Name: Decodable {
        let deadline: String
    }
}
