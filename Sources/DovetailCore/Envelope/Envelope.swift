// SPDX-License-Identifier: Apache-2.0

/// A payload with everything that travels beside it.
///
/// What a handler sees is `Envelope<OrderPlaced>`, what crosses a wire is `Envelope<Bytes>`. The attributes can be read
/// and set on the envelope itself.
///
/// ```swift
/// var envelope = Envelope(EnvelopeAttributes(id: "1", source: "/orders", type: "shop.order.placed"), payload: bytes)
/// envelope.subject = "order-7"
/// ```
@dynamicMemberLookup
public struct Envelope<Payload: Sendable>: Sendable {
    /// Everything but the payload.
    public var attributes: EnvelopeAttributes

    /// What the message says.
    public var payload: Payload

    /// Creates an envelope.
    ///
    /// - Parameters:
    ///   - attributes: Everything but the payload.
    ///   - payload: What the message says.
    @inlinable
    public init(_ attributes: EnvelopeAttributes, payload: Payload) {
        self.attributes = attributes
        self.payload = payload
    }

    /// An attribute of the envelope.
    ///
    /// - Parameter attribute: Which one.
    @inlinable
    public subscript<Value>(dynamicMember attribute: WritableKeyPath<EnvelopeAttributes, Value>) -> Value {
        get { attributes[keyPath: attribute] }
        set { attributes[keyPath: attribute] = newValue }
    }

    /// The same attributes around another payload.
    ///
    /// - Parameter payload: The other payload.
    /// - Returns: The new envelope.
    @inlinable
    public func with<Other: Sendable>(payload: Other) -> Envelope<Other> {
        Envelope<Other>(attributes, payload: payload)
    }
}

extension Envelope: Equatable where Payload: Equatable {}
extension Envelope: Hashable where Payload: Hashable {}
