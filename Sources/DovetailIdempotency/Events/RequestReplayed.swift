// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A repeated request was given the recorded answer.
public struct RequestReplayed: InstrumentEvent {
    /// `dovetail.request.replayed`.
    public static let name = "dovetail.request.replayed"

    /// Within what the key is compared.
    public let scope: IdempotencyScope

    /// The key.
    public let key: IdempotencyKey

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - scope: Within what the key is compared.
    ///   - key: The key.
    public init(scope: IdempotencyScope, key: IdempotencyKey) {
        self.scope = scope
        self.key = key
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.idempotency.scope", scope.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.idempotency.key", key.rawValue)
    }
}
