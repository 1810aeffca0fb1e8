// SPDX-License-Identifier: Apache-2.0

/// Carries messages from those who publish to the groups that subscribe.
///
/// Every transport delivers at least once. What transports differ in is declared in ``capabilities``, and the relay and
/// the consumer make up for what is missing. A transport must be safe to use from many tasks at once. To write one, run
/// the `TransportCheck`s of `DovetailTesting` against it.
///
/// ```swift
/// let results = try await transport.publish([envelope])
/// let subscription = try await transport.subscribe(to: ["shop.order.placed"], as: "payments")
/// for delivery in try await subscription.next(atMost: 10) {
///     if let envelope = delivery.envelope { print(envelope.id) }
///     try await subscription.settle([.acknowledge(delivery.id)])
/// }
/// ```
public protocol Transport: Sendable {
    /// How messages are received.
    associatedtype Subscription: TransportSubscription

    /// What this transport can do.
    var capabilities: TransportCapabilities { get }

    /// Publishes messages, each to the topic in its envelope.
    ///
    /// Suspends while the transport has no room. An envelope whose result is ``PublishResult/published`` survives what the
    /// transport survives. One that failed may have been stored all the same, so publish it again under the same
    /// identifier. Once an envelope of a topic and partition key has failed, later ones of that key in the call are not
    /// sent and fail with ``TransportError/Code/notAttempted``, so that publishing the failed ones again in their order
    /// keeps the order of each key.
    ///
    /// - Parameter envelopes: The messages, in the order in which those with the same key are to be read.
    /// - Returns: One result for each envelope, in the same order.
    /// - Throws: ``TransportError`` with ``TransportError/Code/closed``, or `CancellationError`; it is then unknown which
    ///   envelopes were published. What goes wrong with single envelopes is in their results.
    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult]

    /// Joins a group that reads topics.
    ///
    /// Each group sees every message of its topics; each message goes to one member of the group at a time. A group that
    /// has not read a topic before starts with the oldest message that is still there.
    ///
    /// - Parameters:
    ///   - topics: The topics to read.
    ///   - group: The group to join.
    /// - Returns: The member's own end.
    /// - Throws: ``TransportError``.
    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> Subscription
}

/// One member of a group that reads topics.
///
/// Deliveries that were handed out and not settled are handed out again after ``close()``.
public protocol TransportSubscription: Sendable {
    /// Waits for messages.
    ///
    /// Where the transport keeps order per key, messages of a key are handed out in their order, to one member at a time.
    /// Only one task at a time may call this.
    ///
    /// - Parameter limit: How many deliveries the caller has room for, 1 or more.
    /// - Returns: At least one delivery; none only after ``close()``.
    /// - Throws: ``TransportError``; `CancellationError` if the task is cancelled while it waits, and then nothing was
    ///   handed out.
    func next(atMost limit: Int) async throws -> [Delivery]

    /// Says what became of deliveries.
    ///
    /// Settling a delivery twice, or one that is no longer this member's, does nothing.
    ///
    /// - Parameter settlements: The deliveries with what became of them.
    /// - Throws: ``TransportError``; the deliveries may then come again.
    func settle(_ settlements: [Settlement]) async throws

    /// Leaves the group. What was not settled goes to other members, or to the group's next one. Does nothing if called
    /// again.
    func close() async
}
