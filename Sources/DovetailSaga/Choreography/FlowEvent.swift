// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A kind of message as a ``Choreography`` names it.
public struct FlowEvent: Sendable, Hashable {
    /// The type of the message.
    public let type: MessageType

    /// The version it is declared in; the major part counts.
    public let version: MessageVersion

    /// The topic it goes to.
    public let topic: Topic

    /// What drawings and messages call it: the name of its Swift type.
    public let label: String

    /// Names a kind of message.
    ///
    /// - Parameter message: Its Swift type.
    public init(_ message: any Message.Type) {
        type = message.type
        version = message.version
        topic = message.topic
        label = String(describing: message)
    }

    /// Whether two name the same kind of message, whatever the Swift type and the topic.
    ///
    /// - Parameters:
    ///   - left: A kind of message.
    ///   - right: Another.
    /// - Returns: Whether type and major version are the same.
    public static func == (left: Self, right: Self) -> Bool {
        left.type == right.type && left.version.major == right.version.major
    }

    /// Hashes what makes two the same.
    ///
    /// - Parameter hasher: Takes it.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(type)
        hasher.combine(version.major)
    }
}
