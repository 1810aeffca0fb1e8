// SPDX-License-Identifier: Apache-2.0

public import DovetailConsumer
public import DovetailCore

/// A local copy of the entities of another service, built from its events.
///
/// The service that reads needs nobody to answer: what it must know of a customer is in its own database. The events have to
/// carry that state (*event-carried state transfer*), with a version that rises with each change of an entity.
///
/// ```swift
/// let customers = Replica("customers", of: Customer.self, in: database)
///     .on(CustomerChanged.self) { event, _ in .put(event.customer, at: event.customer.id, version: event.revision) }
///     .on(CustomerErased.self) { event, _ in .delete(event.customerID, version: event.revision) }
///
/// let orders = Consumer("orders", on: bus) {
///     customers.routes
///     On(OrderPlaced.self, once: database) { order, context, tx in
///         let customer = try await customers.get(order.customerID, in: tx)
///         …
///     }
/// }
/// ```
///
/// A change with a version that is not higher than the one the replica has changes nothing, so messages may come twice, late and
/// in any order. A deletion leaves a *tombstone* behind for the same reason; the ``ReplicaSweeper`` forgets it in time.
///
/// The copy is behind its original by as long as messages take. ``age()`` tells how long ago the newest change was made that it
/// knows of, and each change that is applied tells its lag to the instrument.
public struct Replica<DB: TableDatabase, Entity: Codable & Sendable>: Sendable {
    /// An entity as the replica knows it.
    public struct Entry: Sendable {
        /// Its key.
        public let key: String

        /// The entity.
        public let entity: Entity

        /// The version given by its owner.
        public let version: Int64

        /// When its owner made the change that led to it.
        public let time: Timestamp
    }

    /// The name of the replica, and of its tables.
    public let name: String

    let database: DB
    let progress: ReplicaProgress
    var feeds: [Feed] = []

    /// Makes the route of one kind of message, for the replica as it stands or for one that is being built.
    typealias Feed = @Sendable (_ replica: Replica, _ target: ReplicaTarget) -> On

    /// Names a replica.
    ///
    /// - Parameters:
    ///   - name: The name, kept for the life of the service.
    ///   - type: The type of the entities.
    ///   - database: Where the copy is.
    public init(_ name: String, of type: Entity.Type, in database: DB) {
        self.name = name
        self.database = database
        progress = ReplicaProgress()
    }

    // MARK: What it is built from

    /// Takes a kind of message.
    ///
    /// - Parameters:
    ///   - message: The type of message.
    ///   - topic: The topic to read; the one of the type if `nil`.
    ///   - change: Says what the message means for the replica; `nil` if nothing.
    /// - Returns: The changed replica.
    public func on<M: Message>(
        _ message: M.Type,
        from topic: Topic? = nil,
        _ change: @escaping @Sendable (M, MessageContext) throws -> ReplicaChange<Entity>?
    ) -> Replica {
        adding { replica, target in
            On(
                type: M.type, version: M.version, topic: topic ?? M.topic,
                waitingRoom: WaitingRoom(ifOfferedBy: replica.database)
            ) { incoming in
                let message = try await incoming.decode(M.self)
                guard let change = try change(message, incoming.context) else { return }
                let time = incoming.envelope.time ?? Runtime.current.time.now()
                try await replica.handle(change, time: time, in: target)
            }
        }
    }

    func adding(_ feed: @escaping Feed) -> Replica {
        var copy = self
        copy.feeds.append(feed)
        return copy
    }

    /// The routes that keep the replica, for a `Consumer`.
    ///
    /// Each message is applied in a transaction of its own.
    public var routes: [On] { feeds.map { $0(self, .live) } }

    // MARK: Reading

    /// Reads an entity.
    ///
    /// - Parameters:
    ///   - key: Its key.
    ///   - tx: The transaction.
    /// - Returns: The entity; `nil` if the replica knows of none.
    /// - Throws: `DatabaseError`.
    public func get(_ key: String, in tx: DB.Transaction) async throws -> Entity? {
        try await entry(key, in: tx)?.entity
    }

    /// Reads an entity as of the last commit.
    ///
    /// - Parameter key: Its key.
    /// - Returns: The entity; `nil` if the replica knows of none.
    /// - Throws: `DatabaseError`.
    public func get(_ key: String) async throws -> Entity? {
        try await database.withReadTransaction { tx in try await get(key, in: tx) }
    }

    /// Reads an entity with its version and time.
    ///
    /// - Parameters:
    ///   - key: Its key.
    ///   - tx: The transaction.
    /// - Returns: The entity; `nil` if the replica knows of none.
    /// - Throws: `DatabaseError`.
    public func entry(_ key: String, in tx: DB.Transaction) async throws -> Entry? {
        let generation = try await generations(in: tx).current
        return try await rows(generation).get(key, in: tx).flatMap { Entry(key: key, $0) }
    }

    /// Reads entities in the order of their keys, a page at a time.
    ///
    /// - Parameters:
    ///   - prefix: What the keys start with; all keys if empty.
    ///   - after: The last key of the page before; `nil` for the first page.
    ///   - limit: The most entities to return.
    ///   - tx: The transaction.
    /// - Returns: The entities; fewer than `limit` only at the end.
    /// - Throws: `DatabaseError`.
    public func scan(
        prefix: String = "", after: String? = nil, limit: Int = 1000, in tx: DB.Transaction
    ) async throws -> [Entry] {
        let rows = rows(try await generations(in: tx).current)
        var (entries, last) = ([Entry](), after)
        while entries.count < limit {
            let size = min(limit - entries.count, 1000)
            let page = try await rows.scan(prefix: prefix, after: last, limit: size, in: tx)
            // Tombstones take up places in a page.
            entries += page.compactMap { Entry(key: $0.key, $0.row) }
            last = page.last?.key ?? last
            if page.count < size { break }
        }
        return entries
    }

    /// Reads all entities as of the last commit, in the order of their keys.
    ///
    /// - Parameter prefix: What the keys start with; all keys if empty.
    /// - Returns: The entities.
    /// - Throws: `DatabaseError`.
    public func all(prefix: String = "") async throws -> [Entry] {
        try await database.withReadTransaction { tx in
            try await scan(prefix: prefix, limit: .max, in: tx)
        }
    }

    /// Tells how long ago the newest change was made that the replica knows of, by its owner's clock; exact to a second.
    ///
    /// Where nothing changes this grows although nothing is missing. An owner that wants to tell the two apart publishes a
    /// message now and then whose change is `nil`, and counts its lag.
    ///
    /// - Returns: How long ago; `nil` if the replica knows of no change.
    /// - Throws: `DatabaseError`.
    public func age() async throws -> Duration? {
        let newest = try await database.withReadTransaction { tx in
            try await progressTable.get(Self.progressKey, in: tx)
        }
        return newest.map { max(.zero, Runtime.current.time.now() - $0.time) }
    }
}

extension Replica.Entry {
    /// Creates an entry of a row; `nil` if it is a tombstone.
    init?(key: String, _ row: ReplicaRow<Entity>) {
        guard let entity = row.entity else { return nil }
        self.init(key: key, entity: entity, version: row.version, time: row.time)
    }
}
