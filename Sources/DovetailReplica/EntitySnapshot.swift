// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// An entity that its owner can publish snapshots of.
///
/// ```swift
/// extension Customer: SnapshotEntity {
///     static let snapshotType: MessageType = "shop.customer.snapshot"
/// }
/// ```
public protocol SnapshotEntity: Codable, Sendable {
    /// The type of the messages that carry the snapshots.
    static var snapshotType: MessageType { get }
}

/// One page of all the entities that a service has.
///
/// With snapshots a replica starts without the whole history of events, and gets rid of what it should not have: once it has all
/// pages, entities that are in none of them are deleted. Pages may come twice, in any order, and in between events; versions
/// decide as always.
///
/// The owner makes the pages with a ``SnapshotPager``:
///
/// ```swift
/// var pager = SnapshotPager(of: Customer.self)
/// for page in pages {
///     try await publisher.publish(pager.next(page, isLast: page.isLast))
/// }
/// ```
public struct EntitySnapshot<Entity: SnapshotEntity>: Event {
    /// The type that the entity names.
    public static var type: MessageType { Entity.snapshotType }

    /// An entity of the page.
    public struct Item: Codable, Sendable {
        /// Its key.
        public let key: String

        /// Its version.
        public let version: Int64

        /// The entity.
        public let entity: Entity

        /// Creates an item.
        ///
        /// - Parameters:
        ///   - entity: The entity.
        ///   - key: Its key.
        ///   - version: Its version.
        public init(_ entity: Entity, at key: String, version: Int64) {
            self.key = key
            self.version = version
            self.entity = entity
        }
    }

    /// Names the snapshot; the names of later ones sort behind it.
    public let snapshot: String

    /// Every change that was made before this moment is in the snapshot.
    public let position: Timestamp

    /// The number of the page, from 0.
    public let page: Int

    /// How many pages there are; `nil` on all but the last.
    public let pageCount: Int?

    /// The entities of the page.
    public let items: [Item]
}

/// Numbers the pages of a snapshot.
public struct SnapshotPager<Entity: SnapshotEntity>: Sendable {
    private let snapshot: String
    private let position: Timestamp
    private var page = 0

    /// Begins a snapshot; the entities must be read after this.
    ///
    /// - Parameters:
    ///   - type: The type of the entities.
    ///   - longestTransaction: How long a transaction may take from the moment that its events name as their time until it
    ///     commits; a minute unless given. What changed within that time before the beginning may not have been there to be
    ///     read, and a replica does not delete it for want of it.
    ///   - runtime: Where time and identifiers come from; the current task's if `nil`.
    public init(of type: Entity.Type, longestTransaction: Duration = .seconds(60), runtime: Runtime? = nil) {
        let runtime = runtime ?? .current
        snapshot = runtime.makeUUID().text
        position = runtime.time.now() - max(.zero, longestTransaction)
    }

    /// Makes the next page.
    ///
    /// - Parameters:
    ///   - items: The entities of the page.
    ///   - isLast: Whether there are no more.
    /// - Returns: The message to publish.
    public mutating func next(_ items: [EntitySnapshot<Entity>.Item], isLast: Bool) -> EntitySnapshot<Entity> {
        defer { page += 1 }
        return EntitySnapshot(
            snapshot: snapshot, position: position, page: page, pageCount: isLast ? page + 1 : nil, items: items)
    }
}
