// SPDX-License-Identifier: Apache-2.0

/// What a simulation decides about in-memory parts, and hears from them.
///
/// Called under locks: it must be quick and call nothing back.
package protocol SimulationProbe: Sendable {
    /// Decides whether something goes wrong at a place.
    ///
    /// Each call is one opportunity. Whether it is used depends on the kind, the place and how many came before there, and on
    /// nothing else, so that leaving one fault out does not move the others.
    ///
    /// - Parameters:
    ///   - kind: What would go wrong.
    ///   - place: Who or what it would hit.
    ///   - share: How often it goes wrong; as the simulation's plan says if `nil`.
    /// - Returns: Random bits to draw amounts from; `nil` if nothing goes wrong.
    func choose(_ kind: StaticString, at place: @autoclosure () -> String, share: Double?) -> UInt64?

    /// Messages are published from here on, since the transaction that appended them to an outbox commits.
    func appended(_ envelopes: [Envelope<Bytes>])

    /// Until when a message does not get through to who reads it now; `nil` if it does.
    func heldUp(_ message: MessageID, for reader: String) -> MonotonicInstant?

    /// A message was stored on a transport.
    func stored(_ envelope: Envelope<Bytes>, by party: String)

    /// A group settled deliveries so that they do not come again.
    func settled(_ messages: [StoredMessageID], by group: ConsumerGroup)

    /// Something was used that the simulation does not own.
    func escaped(_ what: StaticString)

    /// A transaction has committed.
    func committed()
}

/// A message as a group was given it.
package struct StoredMessageID: Sendable, Hashable {
    package let topic: Topic
    package let id: MessageID
    /// Whether it was rejected rather than acknowledged.
    package let isRejected: Bool
}

extension SimulationProbe {
    /// A number between 0 and 1, 1 excluded, from random bits.
    package static func unit(_ bits: UInt64) -> Double { Double(bits >> 11) * 0x1p-53 }
}
