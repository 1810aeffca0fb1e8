// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
public import DovetailCore

extension Replica where Entity: SnapshotEntity {
    /// Takes the snapshots that the owner publishes, see ``EntitySnapshot``.
    ///
    /// - Parameter topic: The topic to read; the one of the snapshot's type if `nil`.
    /// - Returns: The changed replica.
    public func onSnapshots(from topic: Topic? = nil) -> Replica {
        typealias Page = EntitySnapshot<Entity>
        return adding { replica, target in
            On(
                type: Page.type, version: Page.version, topic: topic ?? Page.topic,
                waitingRoom: WaitingRoom(ifOfferedBy: replica.database)
            ) { incoming in
                let page = try await incoming.decode(Page.self)
                guard page.page >= 0, page.pageCount ?? .max > page.page else {
                    throw MessageError(
                        .undecodablePayload,
                        "The page \(page.page) of the snapshot '\(page.snapshot)' is not in its order.")
                }
                try await replica.take(page, in: target)
            }
        }
    }

    private func take(_ page: EntitySnapshot<Entity>, in target: ReplicaTarget) async throws {
        let (newCount, deletedCount) = try await database.withTransaction { tx -> (Int, Int) in
            var newCount = 0
            for item in page.items {
                let change = ReplicaChange.put(item.entity, at: item.key, version: item.version)
                let isNew = try await apply(
                    change, time: page.position, snapshot: page.snapshot, to: target, in: tx)
                if isNew { newCount += 1 }
            }
            var deletedCount = 0
            for generation in try await generations(of: target, in: tx) {
                guard try await completes(page, in: generation, tx) else { continue }
                deletedCount += try await prune(page, in: generation, tx)
            }
            if case .live = target { try await note(page.position, in: tx) }
            return (newCount, deletedCount)
        }
        Runtime.current.instrument?.record(
            ReplicaSnapshotTaken(replica: name, page: page.page, newCount: newCount, deletedCount: deletedCount))
    }

    /// Notes a page.
    ///
    /// - Returns: Whether now all pages were taken, and were not before.
    private func completes(
        _ page: EntitySnapshot<Entity>, in generation: Int, _ tx: DB.Transaction
    ) async throws -> Bool {
        let key = "\(generation)/\(page.snapshot)"
        let stored = try await snapshotTable.entry(key, in: tx)
        var progress = stored?.row ?? SnapshotProgress(position: page.position)
        guard progress.add(page.page, of: page.pageCount) else { return false }
        // Pages that are taken side by side must not forget each other.
        try await snapshotTable.put(progress, at: key, expecting: stored?.version ?? 0, in: tx)
        return progress.isComplete
    }

    /// Deletes what the snapshot does not have, but for what changed since.
    private func prune(
        _ page: EntitySnapshot<Entity>, in generation: Int, _ tx: DB.Transaction
    ) async throws -> Int {
        let rows = rows(generation)
        var (count, last) = (0, String?.none)
        while true {
            let entries = try await rows.scan(after: last, limit: 500, in: tx)
            for entry in entries where entry.row.entity != nil {
                // A later snapshot that had it vouches for it as well.
                guard entry.row.snapshot.map({ $0 < page.snapshot }) ?? true, entry.row.time < page.position else {
                    continue
                }
                // Of the same version: what is known of the entity is old, and must not bring it back.
                let tombstone = ReplicaRow<Entity>(
                    version: entry.row.version, entity: nil, time: page.position, snapshot: page.snapshot)
                try await rows.put(tombstone, at: entry.key, expecting: entry.version, in: tx)
                try await bury(entry.key, version: entry.row.version, in: generation, tx)
                count += 1
            }
            guard entries.count == 500 else { return count }
            last = entries.last?.key
        }
    }
}

/// Which pages of a snapshot were taken.
struct SnapshotProgress: Codable, Sendable {
    let position: Timestamp
    private(set) var pages: Set<Int> = []
    private(set) var pageCount: Int?

    init(position: Timestamp) {
        self.position = position
    }

    var isComplete: Bool { pageCount.map { pages.count >= $0 } ?? false }

    /// - Returns: Whether the page is new.
    mutating func add(_ page: Int, of count: Int?) -> Bool {
        pageCount = pageCount ?? count
        return pages.insert(page).inserted
    }
}
