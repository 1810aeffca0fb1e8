// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A bulkhead did not let a call through.
public struct BulkheadRejected: InstrumentEvent {
    /// `dovetail.bulkhead.rejected`.
    public static let name = "dovetail.bulkhead.rejected"

    /// The name of the bulkhead.
    public let bulkhead: String

    /// Why the call was not let through.
    public let code: BulkheadError.Code

    /// How long the caller had waited; `nil` if it was turned away at once.
    public let waited: Duration?

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - bulkhead: The name of the bulkhead.
    ///   - code: Why the call was not let through.
    ///   - waited: How long the caller had waited; `nil` if it was turned away at once.
    public init(bulkhead: String, code: BulkheadError.Code, waited: Duration? = nil) {
        self.bulkhead = bulkhead
        self.code = code
        self.waited = waited
    }

    /// How long the caller had waited.
    public var duration: Duration? { waited }

    /// The name of the bulkhead and the reason.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.bulkhead.name", bulkhead)
        visit("dovetail.reason", code.description)
    }
}

/// A caller waited for a permit and got it.
public struct BulkheadWaited: InstrumentEvent {
    /// `dovetail.bulkhead.waited`.
    public static let name = "dovetail.bulkhead.waited"

    /// The name of the bulkhead.
    public let bulkhead: String

    /// How long the caller waited.
    public let waited: Duration

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - bulkhead: The name of the bulkhead.
    ///   - waited: How long the caller waited.
    public init(bulkhead: String, waited: Duration) {
        self.bulkhead = bulkhead
        self.waited = waited
    }

    /// How long the caller waited.
    public var duration: Duration? { waited }

    /// The name of the bulkhead.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.bulkhead.name", bulkhead)
    }
}

/// The limit of a bulkhead was changed.
public struct BulkheadResized: InstrumentEvent {
    /// `dovetail.bulkhead.resized`.
    public static let name = "dovetail.bulkhead.resized"

    /// The name of the bulkhead.
    public let bulkhead: String

    /// The limit before.
    public let oldLimit: Int

    /// The limit from now on.
    public let newLimit: Int

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - bulkhead: The name of the bulkhead.
    ///   - oldLimit: The limit before.
    ///   - newLimit: The limit from now on.
    public init(bulkhead: String, oldLimit: Int, newLimit: Int) {
        self.bulkhead = bulkhead
        self.oldLimit = oldLimit
        self.newLimit = newLimit
    }

    /// The name of the bulkhead.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.bulkhead.name", bulkhead)
    }

    /// The limits.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.bulkhead.limit.old", String(oldLimit))
        visit("dovetail.bulkhead.limit", String(newLimit))
    }
}
