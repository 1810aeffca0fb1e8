// SPDX-License-Identifier: Apache-2.0

/// A message that a group rejected.
public struct RejectedMessage: Sendable, Hashable {
    /// The message.
    public let envelope: Envelope<Bytes>

    /// The group that rejected it.
    public let group: ConsumerGroup

    /// Why.
    public let reason: String

    /// How often it had been delivered to the group.
    public let attempts: Int
}
