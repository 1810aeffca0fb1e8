// SPDX-License-Identifier: Apache-2.0

/// A message that a group rejected.
public struct RejectedMessage: Sendable {
    /// The message, or what arrived in its place.
    public let content: Delivery.Content

    /// The topic it was read from.
    public let topic: Topic

    /// The group that rejected it.
    public let group: ConsumerGroup

    /// Why.
    public let reason: String

    /// How often it had been delivered to the group.
    public let attempts: Int

    /// The message; `nil` if what arrived is none.
    public var envelope: Envelope<Bytes>? {
        if case .envelope(let envelope) = content { envelope } else { nil }
    }
}
