// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// One member of a group that reads topics through a ``ClaimCheckTransport``.
public struct ClaimCheckSubscription<Carrier: Transport>: TransportSubscription {
    private let inner: Carrier.Subscription
    private let transport: ClaimCheckTransport<Carrier>

    init(_ inner: Carrier.Subscription, of transport: ClaimCheckTransport<Carrier>) {
        self.inner = inner
        self.transport = transport
    }

    /// Waits for messages and brings their payloads back.
    ///
    /// - Parameter limit: How many deliveries the caller has room for, 1 or more.
    /// - Returns: At least one delivery; none only after ``close()``. A message whose payload is not what its token says is
    ///   handed out as undecodable.
    /// - Throws: What the carrier throws; `TransportError` with `unavailable` while the store cannot be reached, and
    ///   `CancellationError`: nothing was handed out then.
    public func next(atMost limit: Int) async throws -> [Delivery] {
        let deliveries = try await inner.next(atMost: limit)
        let travelling = deliveries.indices.filter { place in
            deliveries[place].envelope.map(ClaimCheckTransport<Carrier>.hasToken) ?? false
        }
        guard !travelling.isEmpty else { return deliveries }
        let transport = transport
        let restored = await sideBySide(travelling, atMost: transport.concurrency) { place in
            await Self.restore(deliveries[place], by: transport)
        }
        var whole = deliveries
        for (place, result) in zip(travelling, restored) {
            switch result {
            case .success(let delivery): whole[place] = delivery
            case .failure(let error):
                // The order of each key asks for all or nothing.
                try await giveBack(deliveries)
                throw error
            }
        }
        return whole
    }

    /// Says what became of deliveries.
    ///
    /// - Parameter settlements: The deliveries with what became of them.
    /// - Throws: What the carrier throws.
    public func settle(_ settlements: [Settlement]) async throws {
        try await inner.settle(settlements)
    }

    /// Leaves the group.
    public func close() async {
        await inner.close()
    }

    private func giveBack(_ deliveries: [Delivery]) async throws {
        let (inner, settlements) = (inner, deliveries.map { Settlement.release($0.id) })
        try await withCancellationShield {
            try await inner.settle(settlements)
        } onCancel: {
        }
    }

    private static func restore(
        _ delivery: Delivery, by transport: ClaimCheckTransport<Carrier>
    ) async -> Result<Delivery, any Error> {
        guard let envelope = delivery.envelope else { return .success(delivery) }
        do {
            return .success(delivery.with(.envelope(try await transport.restore(envelope))))
        } catch let error as ClaimCheckError where error.code != .unavailable {
            return .success(delivery.with(undecodable(envelope, error)))
        } catch let error as ClaimCheckError {
            return .failure(
                TransportError(
                    .unavailable,
                    "The payload of the message '\(envelope.attributes.id)' cannot be brought back now. The message comes again.",
                    cause: error))
        } catch {
            return .failure(error)
        }
    }

    private static func undecodable(_ envelope: Envelope<Bytes>, _ error: ClaimCheckError) -> Delivery.Content {
        let message = MessageError(
            .undecodablePayload,
            "The payload of the message '\(envelope.attributes.id)' cannot be brought back. See the cause for the blob.",
            cause: error)
        let headers = (try? CloudEventsBinaryFormat(.kafka).encode(envelope).headers) ?? []
        return .undecodable(envelope.payload, headers: Headers(headers), message)
    }
}

extension Delivery {
    fileprivate func with(_ content: Content) -> Delivery {
        Delivery(id: id, content: content, topic: topic, position: position, attempt: attempt)
    }
}
