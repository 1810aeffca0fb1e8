// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A replica applied a change.
public struct ReplicaChanged: InstrumentEvent {
    /// `dovetail.replica.changed`.
    public static let name = "dovetail.replica.changed"

    /// The replica.
    public let replica: String

    /// The entity.
    public let key: String

    /// Whether the entity is no more.
    public let isDeletion: Bool

    /// The time from the change, by its owner's clock, until it was applied.
    public let lag: Duration

    /// The lag.
    public var duration: Duration? { lag }

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - replica: The replica.
    ///   - key: The entity.
    ///   - isDeletion: Whether the entity is no more.
    ///   - lag: The time from the change until it was applied.
    public init(replica: String, key: String, isDeletion: Bool, lag: Duration) {
        self.replica = replica
        self.key = key
        self.isDeletion = isDeletion
        self.lag = lag
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.replica", replica)
        visit("dovetail.replica.change", isDeletion ? "delete" : "put")
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.replica.key", key)
    }
}

/// A replica had a change already, or a newer one.
public struct ReplicaChangeIgnored: InstrumentEvent {
    /// `dovetail.replica.ignored`.
    public static let name = "dovetail.replica.ignored"

    /// The replica.
    public let replica: String

    /// The entity.
    public let key: String

    /// The version that was not newer.
    public let version: Int64

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - replica: The replica.
    ///   - key: The entity.
    ///   - version: The version that was not newer.
    public init(replica: String, key: String, version: Int64) {
        self.replica = replica
        self.key = key
        self.version = version
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.replica", replica)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.replica.key", key)
        visit("dovetail.replica.version", String(version))
    }
}

/// A replica took a page of a snapshot.
public struct ReplicaSnapshotTaken: InstrumentEvent {
    /// `dovetail.replica.snapshot_taken`.
    public static let name = "dovetail.replica.snapshot_taken"

    /// The replica.
    public let replica: String

    /// The number of the page.
    public let page: Int

    /// How many entities of it were newer than what the replica had.
    public let newCount: Int

    /// How many entities were deleted, because with it all pages were there and none had them.
    public let deletedCount: Int

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - replica: The replica.
    ///   - page: The number of the page.
    ///   - newCount: How many entities were newer.
    ///   - deletedCount: How many entities were deleted.
    public init(replica: String, page: Int, newCount: Int, deletedCount: Int) {
        self.replica = replica
        self.page = page
        self.newCount = newCount
        self.deletedCount = deletedCount
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.replica", replica)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.replica.page", String(page))
        visit("dovetail.replica.new", String(newCount))
        visit("dovetail.replica.deleted", String(deletedCount))
    }
}

/// A replica was built anew.
public struct ReplicaRebuilt: InstrumentEvent {
    /// `dovetail.replica.rebuilt`.
    public static let name = "dovetail.replica.rebuilt"

    /// The replica.
    public let replica: String

    /// How long it took.
    public let elapsed: Duration

    /// How long it took.
    public var duration: Duration? { elapsed }

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - replica: The replica.
    ///   - elapsed: How long it took.
    public init(replica: String, elapsed: Duration) {
        self.replica = replica
        self.elapsed = elapsed
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.replica", replica)
    }
}
