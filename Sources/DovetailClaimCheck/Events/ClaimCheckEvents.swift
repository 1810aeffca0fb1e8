// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A message left its payload in a store.
public struct PayloadStored: InstrumentEvent {
    /// `dovetail.claim_check.stored`.
    public static let name = "dovetail.claim_check.stored"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The token for the payload.
    public let token: ClaimToken

    /// How long it took to store it.
    public let elapsed: Duration

    /// How long it took.
    public var duration: Duration? { elapsed }

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - token: The token for the payload.
    ///   - elapsed: How long it took to store it.
    public init(_ attributes: EnvelopeAttributes, token: ClaimToken, elapsed: Duration) {
        self.attributes = attributes
        self.token = token
        self.elapsed = elapsed
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        token.visitDimensions(visit)
        visit("dovetail.message.type", attributes.type.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        token.visitDetails(visit)
        visit("messaging.message.id", attributes.id.rawValue)
    }
}

/// A message got its payload back.
public struct PayloadRestored: InstrumentEvent {
    /// `dovetail.claim_check.restored`.
    public static let name = "dovetail.claim_check.restored"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The token for the payload.
    public let token: ClaimToken

    /// How long it took to read it.
    public let elapsed: Duration

    /// How long it took.
    public var duration: Duration? { elapsed }

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - token: The token for the payload.
    ///   - elapsed: How long it took to read it.
    public init(_ attributes: EnvelopeAttributes, token: ClaimToken, elapsed: Duration) {
        self.attributes = attributes
        self.token = token
        self.elapsed = elapsed
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        token.visitDimensions(visit)
        visit("dovetail.message.type", attributes.type.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        token.visitDetails(visit)
        visit("messaging.message.id", attributes.id.rawValue)
    }
}

/// A payload was deleted because its message was not published.
public struct PayloadDiscarded: InstrumentEvent {
    /// `dovetail.claim_check.discarded`.
    public static let name = "dovetail.claim_check.discarded"

    /// The token for the payload.
    public let token: ClaimToken

    /// Why it could not be deleted, redacted; `nil` if it was.
    ///
    /// A sweep deletes it then.
    public let error: String?

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - token: The token for the payload.
    ///   - error: Why it could not be deleted, redacted.
    public init(_ token: ClaimToken, error: String? = nil) {
        self.token = token
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        token.visitDimensions(visit)
        visit("dovetail.claim_check.outcome", error == nil ? "deleted" : "failed")
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        token.visitDetails(visit)
        if let error { visit("exception.message", error) }
    }
}

extension ClaimToken {
    fileprivate func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.store", store.rawValue)
    }

    fileprivate func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.blob.key", key.rawValue)
        visit("dovetail.blob.size", String(length))
    }
}
