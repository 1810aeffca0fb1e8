// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// What two requests, or two deliveries of a message, have in common if they ask for the same thing.
///
/// ```swift
/// let fromClient: IdempotencyKey = "8e03978e-40d5-43dd-bc93-6894a57f9324"
/// let derived = IdempotencyKey(fields: order.id, order.revision)
/// ```
///
/// Text in the form of a UUID takes the least memory. A key is only ever compared within its ``IdempotencyScope``.
public struct IdempotencyKey: TextValue {
    /// The text.
    public let rawValue: String

    /// Creates a key with exactly this text.
    ///
    /// - Parameter rawValue: The text.
    @inlinable
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// Derives a key from fields: the same fields in the same order give the same key, on every machine and in every release.
    ///
    /// - Parameter fields: What makes the request what it is. How many there are counts too.
    public init(fields: any LosslessStringConvertible...) {
        self.init(rawValue: DeterministicID.make(namespace: "dovetail.idempotency.fields", fields.map(\.description)))
    }

    /// The key of a message: its identity.
    ///
    /// A message is named by its source and identifier together, as in CloudEvents. That holds for a UUID, too: two services
    /// may both name an event by the order that it tells of.
    ///
    /// - Parameter attributes: The attributes of the message.
    public init(of attributes: EnvelopeAttributes) {
        let id = attributes.id.rawValue
        let name = DeterministicID.make(
            namespace: "dovetail.idempotency.message", [attributes.source.rawValue, id])
        guard let uuid = UUIDKey(id), uuid.high & 0xf000 == 0x7000, let digest = UUIDKey(name) else {
            self.init(rawValue: name)
            return
        }
        // The time that a UUID of version 7 begins with stays, so that keys of messages that come one after the other lie
        // side by side in the index of a store.
        self.init(rawValue: UUIDText.format(high: uuid.high & ~0xffff | digest.high & 0xffff, low: digest.low))
    }

    /// The same key, apart from equal ones of other kinds of message.
    func within(_ type: MessageType) -> IdempotencyKey {
        IdempotencyKey(DeterministicID.make(namespace: "dovetail.idempotency.type", [type.rawValue, rawValue]))
    }
}

/// Within what keys are compared: the name of a consumer, or of an operation such as `POST /orders`.
///
/// Where customers choose keys themselves, the scope should name the customer as well. A scope is used with one of the two
/// verbs, once or replay, not with both.
public struct IdempotencyScope: TextValue {
    /// The text.
    public let rawValue: String

    /// Creates a scope with exactly this text.
    ///
    /// - Parameter rawValue: The text.
    @inlinable
    public init(rawValue: String) {
        self.rawValue = rawValue
    }
}
