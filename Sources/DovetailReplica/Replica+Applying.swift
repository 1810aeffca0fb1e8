// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension Replica {
    /// Applies a change, if it is newer than what the replica has.
    ///
    /// The routes do this for messages. Call it for changes that come another way, or together with other writes.
    ///
    /// - Parameters:
    ///   - change: The change.
    ///   - time: When the owner made it.
    ///   - tx: The transaction.
    /// - Returns: Whether it was newer.
    /// - Throws: `DatabaseError`, with `versionConflict` if another transaction changed the entity meanwhile: run it again then.
    @discardableResult
    public func apply(
        _ change: ReplicaChange<Entity>, time: Timestamp, in tx: DB.Transaction
    ) async throws -> Bool {
        let isNew = try await apply(change, time: time, snapshot: nil, to: .live, in: tx)
        try await note(time, in: tx)
        return isNew
    }

    /// Applies a change in a transaction of its own, and tells what came of it.
    func handle(_ change: ReplicaChange<Entity>, time: Timestamp, in target: ReplicaTarget) async throws {
        let isNew = try await database.withTransaction { tx in
            let isNew = try await apply(change, time: time, snapshot: nil, to: target, in: tx)
            if case .live = target { try await note(time, in: tx) }
            return isNew
        }
        let runtime = Runtime.current
        guard let instrument = runtime.instrument else { return }
        if isNew {
            let lag = max(.zero, runtime.time.now() - time)
            instrument.record(
                ReplicaChanged(replica: name, key: change.key, isDeletion: change.entity == nil, lag: lag))
        } else {
            instrument.record(ReplicaChangeIgnored(replica: name, key: change.key, version: change.version))
        }
    }

    /// - Returns: Whether it was newer, in at least one of the copies it went to.
    func apply(
        _ change: ReplicaChange<Entity>, time: Timestamp, snapshot: String?, to target: ReplicaTarget,
        in tx: DB.Transaction
    ) async throws -> Bool {
        var isNew = false
        for generation in try await generations(of: target, in: tx) {
            let isNewHere = try await write(change, time: time, snapshot: snapshot, to: generation, in: tx)
            isNew = isNew || isNewHere
        }
        return isNew
    }

    private func write(
        _ change: ReplicaChange<Entity>, time: Timestamp, snapshot: String?, to generation: Int, in tx: DB.Transaction
    ) async throws -> Bool {
        let rows = rows(generation)
        let stored = try await rows.entry(change.key, in: tx)
        if let stored, change.version <= stored.row.version {
            if let snapshot, stored.row.snapshot.map({ $0 < snapshot }) ?? true {
                var marked = stored.row
                marked.snapshot = snapshot
                try await rows.put(marked, at: change.key, expecting: stored.version, in: tx)
            }
            return false
        }
        let row = ReplicaRow(version: change.version, entity: change.entity, time: time, snapshot: snapshot)
        // Where transactions run side by side, two may have read the same.
        try await rows.put(row, at: change.key, expecting: stored?.version ?? 0, in: tx)
        if change.entity == nil {
            try await bury(change.key, version: change.version, in: generation, tx)
        }
        return true
    }

    /// Has a sweep find a tombstone.
    func bury(_ key: String, version: Int64, in generation: Int, _ tx: DB.Transaction) async throws {
        let entry = TombstoneEntry(key: key, version: version)
        try await tombstones(generation).put(
            entry, at: TimeKey.make(Runtime.current.time.now(), key), in: tx)
    }

    /// Writes down how new the replica is, now and then.
    func note(_ time: Timestamp, in tx: DB.Transaction) async throws {
        let now = Runtime.current.time.monotonic()
        guard progress.isDue(now) else { return }
        let newest = try await progressTable.get(Self.progressKey, in: tx)
        if newest.map({ $0.time < time }) ?? true {
            try await progressTable.put(ReplicaNewest(time: time), at: Self.progressKey, in: tx)
        }
        tx.afterCommit { [progress] in progress.wasWritten(now) }
    }

    // MARK: Tables

    static var stateKey: String { "generations" }
    static var progressKey: String { "newest" }

    var stateTable: Table<DB, ReplicaGenerations> { Table("replica.\(name)", in: database) }
    var progressTable: Table<DB, ReplicaNewest> { Table("replica.\(name).progress", in: database) }
    var snapshotTable: Table<DB, SnapshotProgress> { Table("replica.\(name).snapshots", in: database) }

    func rows(_ generation: Int) -> Table<DB, ReplicaRow<Entity>> {
        Table("replica.\(name).\(generation)", in: database)
    }

    func tombstones(_ generation: Int) -> Table<DB, TombstoneEntry> {
        Table("replica.\(name).\(generation).tombstones", in: database)
    }

    func generations(in tx: DB.Transaction) async throws -> ReplicaGenerations {
        try await stateTable.get(Self.stateKey, in: tx) ?? ReplicaGenerations()
    }

    func generations(of target: ReplicaTarget, in tx: DB.Transaction) async throws -> [Int] {
        switch target {
        case .live: try await generations(in: tx).all
        case .generation(let generation): [generation]
        }
    }
}
