// SPDX-License-Identifier: Apache-2.0

/// A store forgot what it need not keep any longer.
public struct StoreSwept: InstrumentEvent {
    /// `dovetail.store.swept`.
    public static let name = "dovetail.store.swept"

    /// The store, such as `outbox`.
    public let store: String

    /// How many rows it forgot.
    public let count: Int

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - count: How many rows it forgot.
    public init(_ store: String, count: Int) {
        self.store = store
        self.count = count
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.store", store)
    }
}

/// A store could not be swept and will be in the next round.
public struct StoreSweepFailed: InstrumentEvent {
    /// `dovetail.store.sweep_failed`.
    public static let name = "dovetail.store.sweep_failed"

    /// The store, such as `outbox`.
    public let store: String

    /// What went wrong, redacted.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - store: The store.
    ///   - error: What went wrong, redacted.
    public init(_ store: String, error: String) {
        self.store = store
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.store", store)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("exception.message", error)
    }
}
