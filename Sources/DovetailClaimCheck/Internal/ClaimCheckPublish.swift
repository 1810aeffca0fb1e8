// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// One call that publishes messages of which at least one is large.
struct ClaimCheckPublish<Carrier: Transport>: Sendable {
    private struct Lane: Hashable {
        let topic: Topic
        let key: PartitionKey
    }

    let transport: ClaimCheckTransport<Carrier>
    let runtime: Runtime

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        let stored = try await store(envelopes)
        var results: [PublishResult?] = envelopes.map { _ in nil }
        var outgoing: [(place: Int, envelope: Envelope<Bytes>)] = []
        var failed: Set<Lane> = []
        var orphans: [ClaimToken] = []
        for (place, envelope) in envelopes.enumerated() {
            let lane = envelope.attributes.partitionKey.map { Lane(topic: envelope.attributes.topic, key: $0) }
            if let lane, failed.contains(lane) {
                results[place] = .failed(.follower(envelope.attributes))
                if case .success(let token)? = stored[place] { orphans.append(token) }
                continue
            }
            switch stored[place] {
            case nil: outgoing.append((place, envelope))
            case .success(let token): outgoing.append((place, travelling(envelope, with: token)))
            case .failure(let error):
                results[place] = .failed(error)
                if let lane { failed.insert(lane) }
            }
        }
        if !outgoing.isEmpty {
            // If this throws, any of them may have been published.
            let answers = try await transport.carrier.publish(outgoing.map(\.envelope))
            for ((place, _), answer) in zip(outgoing, answers) {
                results[place] = answer
                if let error = answer.error, error.code.provesAbsence, case .success(let token)? = stored[place] {
                    orphans.append(token)
                }
            }
        }
        await discard(orphans)
        return results.map { $0 ?? .failed(.noResult) }
    }

    private func travelling(_ envelope: Envelope<Bytes>, with token: ClaimToken) -> Envelope<Bytes> {
        var envelope = envelope
        envelope.payload = []
        envelope.attributes.extensions[ClaimCheckTransport<Carrier>.attribute] = .string(token.description)
        return envelope
    }

    // MARK: Storing

    /// Stores the payloads of those that are large.
    ///
    /// - Returns: For each envelope what became of its payload; `nil` if it stays where it is.
    /// - Throws: `CancellationError`; nothing is stored then.
    private func store(_ envelopes: [Envelope<Bytes>]) async throws -> [Result<ClaimToken, TransportError>?] {
        let large = envelopes.indices.filter { transport.isLarge(envelopes[$0]) }
        let answers = await sideBySide(large, atMost: transport.concurrency) { await self.store(envelopes[$0]) }
        if Task.isCancelled {
            await discard(answers.compactMap { try? $0.get() })
            throw CancellationError()
        }
        var results: [Result<ClaimToken, TransportError>?] = envelopes.map { _ in nil }
        for (place, answer) in zip(large, answers) { results[place] = answer }
        return results
    }

    private func store(_ envelope: Envelope<Bytes>) async -> Result<ClaimToken, TransportError> {
        let attributes = envelope.attributes
        guard envelope.payload.count <= transport.mostPayloadBytes else {
            return .failure(
                TransportError(
                    .messageTooLarge,
                    "The payload of the message '\(attributes.id)' has \(envelope.payload.count) bytes; "
                        + "\(transport.mostPayloadBytes) are taken. Store it by itself and let the message hold the token."
                ))
        }
        do {
            let started = runtime.instrument == nil ? nil : runtime.time.monotonic()
            let token = try await transport.claims.store(envelope.payload, contentType: attributes.contentType)
            if let started {
                let elapsed = runtime.time.monotonic() - started
                runtime.instrument?.record(PayloadStored(attributes, token: token, elapsed: elapsed))
            }
            return .success(token)
        } catch {
            return .failure(
                TransportError(
                    .unavailable,
                    "The payload of the message '\(attributes.id)' could not be stored. Publish it again.",
                    cause: error))
        }
    }

    // MARK: Discarding

    /// Deletes payloads that no message names; what cannot be deleted is left to the sweep.
    private func discard(_ tokens: [ClaimToken]) async {
        guard !tokens.isEmpty else { return }
        let (claims, runtime) = (transport.claims, runtime)
        // Also when the caller was cancelled: nobody else knows of them.
        try? await withCancellationShield {
            for token in tokens {
                do {
                    try await claims.delete(token)
                    runtime.instrument?.record(PayloadDiscarded(token))
                } catch {
                    let reason = FailureDetail(error, of: nil, runtime: runtime).message
                    runtime.instrument?.record(PayloadDiscarded(token, error: reason))
                }
            }
        } onCancel: {
        }
    }
}

extension TransportError.Code {
    /// Whether a message that failed with it is certain not to have been stored by that attempt.
    ///
    /// A transport that could not be reached, did not answer or was closed may have the message all the same.
    fileprivate var provesAbsence: Bool {
        [
            .messageTooLarge, .headersTooLarge, .invalidMessage, .notAttempted, .unknownTopic, .unroutable, .refused,
        ].contains(self)
    }
}

extension TransportError {
    fileprivate static func follower(_ attributes: EnvelopeAttributes) -> TransportError {
        TransportError(
            .notAttempted,
            "The message '\(attributes.id)' was not sent because an earlier one of its key failed. "
                + "Publish both again, in their order.")
    }

    fileprivate static let noResult = TransportError(
        .unavailable, "The transport gave fewer results than it was given messages. This is a fault of the transport.")
}
