// SPDX-License-Identifier: Apache-2.0

/// A transport that keeps payloads elsewhere while their messages travel, and brings them back.
///
/// Its own subscriptions hand out whole messages. A consumer takes messages from the ``carrier`` instead, as they travel, and
/// has each restored right before it is handled: what waits its turn takes no memory, a payload that cannot be had now is
/// tried again like a handler that fails, and a dead letter holds the message as it travelled.
public protocol PayloadRestoringTransport: Transport {
    /// The kind of ``carrier``.
    associatedtype Carrier: Transport

    /// What carries the messages; its subscriptions hand them out as they travel.
    var carrier: Carrier { get }

    /// Brings the payload of a message back.
    ///
    /// - Parameter envelope: The message as it travelled.
    /// - Returns: The message as it was published; one whose payload was not taken out is returned as it is.
    /// - Throws: What a consumer is to treat as a failure of the handler.
    func restore(_ envelope: Envelope<Bytes>) async throws -> Envelope<Bytes>
}
