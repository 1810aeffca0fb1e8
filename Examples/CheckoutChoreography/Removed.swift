// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Takes every delivery for a new message, so that nothing knows a repeat again: `--without idempotency`.
struct Forgetful: ConsumerMiddleware {
    func handle(
        _ envelope: Envelope<Bytes>, context: MessageContext,
        next: (Envelope<Bytes>, MessageContext) async throws -> Void
    ) async throws {
        var unknown = envelope
        unknown.id = Runtime.current.makeMessageID()
        // Whose cause it is stays known: only whether it was seen before is forgotten.
        try await next(unknown, context)
    }
}

/// Publishes once and does not look at the answer: `--without outbox`.
///
/// As a service does that commits first and publishes then: when that fails, there is no second chance.
struct FireAndForget<Bus: Transport>: Transport {
    let bus: Bus

    var capabilities: TransportCapabilities { bus.capabilities }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        try await bus.publish(envelopes).map { _ in .published }
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> Bus.Subscription {
        try await bus.subscribe(to: topics, as: group)
    }
}
