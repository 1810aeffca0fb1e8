// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Leaves large payloads in a store and lets a token travel in their place; readers get the payload back.
///
/// Both sides wrap their transport and otherwise know nothing of it:
///
/// ```swift
/// let claims = ClaimCheck(in: try FileBlobStore("files", at: "/var/lib/shop/blobs"))
/// let bus = ClaimCheckTransport(kafka, with: claims)
///
/// try await Services(OutboxRelay(from: database, to: bus), Consumer("invoices", on: bus) { … }).run()
/// ```
///
/// What counts is the size of the payload as it was encoded. A smaller one stays in its message. The token travels as the
/// [`dataref`](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/extensions/dataref.md) extension of CloudEvents, in
/// the form of a ``ClaimToken``, and the payload is empty. A message that brings a `dataref` of its own is left as it is, on both
/// sides, unless that is a claim token.
///
/// *Failures when publishing.* Each attempt to publish a message leaves a blob of its own. It is deleted if it is certain that
/// nothing names it: the carrier refused this very attempt, or was never asked. A message that failed and may be there all the
/// same keeps its blob, and the ``BlobSweeper`` deletes what turns out to be an orphan.
///
/// *Failures when reading.* A `Consumer` has a payload brought back right before it handles the message. One that cannot be had
/// now, or is missing, is tried again as its retry policy says; one that is truncated or altered goes to the dead letters at
/// once, as the message that travelled, with its token. A subscription of this transport that is read directly hands such a
/// message out as ``Delivery/Content/undecodable(_:headers:_:)``, with the CloudEvents headers it travelled with; while the store
/// cannot be reached it gives back what it took and throws.
public struct ClaimCheckTransport<Carrier: Transport>: PayloadRestoringTransport {
    /// The name of the extension attribute in which the token travels.
    public static var attribute: String { "dataref" }

    /// What carries the messages.
    public let carrier: Carrier

    let claims: ClaimCheck
    let threshold: Int
    let mostPayloadBytes: Int
    let concurrency: Int
    private let givenRuntime: Runtime?

    /// Creates a transport.
    ///
    /// - Parameters:
    ///   - carrier: What carries the messages.
    ///   - claims: Where payloads are left and found.
    ///   - threshold: The most bytes of a payload that stays in its message; 64 KiB unless given, and never more than half of
    ///     the largest message that the carrier takes.
    ///   - mostPayloadBytes: The largest payload it takes, in bytes, on both sides: a payload is in memory as a whole, and larger
    ///     things belong into a field of their own, see ``ClaimCheck``. 64 MiB unless given.
    ///   - concurrency: How many payloads of a call are stored or read at once; at least 1.
    ///   - runtime: Where time and the instrument come from; the current task's if `nil`.
    public init(
        _ carrier: Carrier,
        with claims: ClaimCheck,
        threshold: Int = 65_536,
        mostPayloadBytes: Int = 64 << 20,
        concurrency: Int = 8,
        runtime: Runtime? = nil
    ) {
        self.carrier = carrier
        self.claims = claims
        let half = carrier.capabilities.mostMessageBytes.map { $0 / 2 } ?? .max
        self.threshold = max(0, min(threshold, half))
        self.mostPayloadBytes = max(0, mostPayloadBytes)
        self.concurrency = max(1, concurrency)
        givenRuntime = runtime
    }

    var runtime: Runtime { givenRuntime ?? .current }

    /// What the carrier can do, for messages as large as the largest payload.
    public var capabilities: TransportCapabilities {
        var capabilities = carrier.capabilities
        capabilities.mostMessageBytes = mostPayloadBytes
        return capabilities
    }

    /// Publishes messages, each to the topic in its envelope.
    ///
    /// - Parameter envelopes: The messages, in the order in which those with the same key are to be read.
    /// - Returns: One result for each envelope, in the same order; a payload that could not be stored makes its message fail with
    ///   `unavailable`, one that is larger than what this transport takes with `messageTooLarge`.
    /// - Throws: What the carrier throws; `CancellationError`.
    public func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        guard envelopes.contains(where: { isLarge($0) }) else { return try await carrier.publish(envelopes) }
        let run = ClaimCheckPublish(transport: self, runtime: runtime)
        return try await run.publish(envelopes)
    }

    /// Joins a group that reads topics.
    ///
    /// - Parameters:
    ///   - topics: The topics to read.
    ///   - group: The group to join.
    /// - Returns: The member's own end, which hands out whole messages.
    /// - Throws: What the carrier throws.
    public func subscribe(
        to topics: [Topic], as group: ConsumerGroup
    ) async throws -> ClaimCheckSubscription<Carrier> {
        ClaimCheckSubscription(try await carrier.subscribe(to: topics, as: group), of: self)
    }

    /// Brings the payload of a message back.
    ///
    /// - Parameter envelope: The message as it travelled.
    /// - Returns: The message as it was published.
    /// - Throws: ``ClaimCheckError``.
    public func restore(_ envelope: Envelope<Bytes>) async throws -> Envelope<Bytes> {
        guard let token = try token(of: envelope) else { return envelope }
        let runtime = runtime
        let started = runtime.instrument == nil ? nil : runtime.time.monotonic()
        var whole = envelope
        whole.payload = try await claims.bytes(of: token, atMost: mostPayloadBytes)
        whole.attributes.extensions[Self.attribute] = nil
        if let started {
            let elapsed = runtime.time.monotonic() - started
            runtime.instrument?.record(PayloadRestored(whole.attributes, token: token, elapsed: elapsed))
        }
        return whole
    }

    // MARK: Tokens

    func isLarge(_ envelope: Envelope<Bytes>) -> Bool {
        // A reference that is there already is not ours to replace.
        envelope.payload.count > threshold && envelope.attributes.extensions[Self.attribute] == nil
    }

    /// Whether a message travels with a token, well formed or not.
    static func hasToken(_ envelope: Envelope<Bytes>) -> Bool {
        envelope.attributes.extensions[attribute]?.text.hasPrefix(ClaimToken.scheme) ?? false
    }

    private func token(of envelope: Envelope<Bytes>) throws(ClaimCheckError) -> ClaimToken? {
        guard Self.hasToken(envelope), let text = envelope.attributes.extensions[Self.attribute]?.text else {
            return nil
        }
        guard let token = ClaimToken(text) else {
            throw ClaimCheckError(
                .invalidToken,
                "The '\(Self.attribute)' of the message '\(envelope.attributes.id)' has the scheme of a claim token and not the "
                    + "form. Check what wrote it.")
        }
        return token
    }
}

extension ClaimCheckTransport: BacklogReportingTransport where Carrier: BacklogReportingTransport {
    /// Counts the messages that a group has not settled.
    ///
    /// - Parameters:
    ///   - group: The group.
    ///   - topics: The topics it reads.
    /// - Returns: How many messages.
    /// - Throws: What the carrier throws.
    public func backlog(of group: ConsumerGroup, on topics: [Topic]) async throws -> Int {
        try await carrier.backlog(of: group, on: topics)
    }
}
