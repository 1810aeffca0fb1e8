// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// How long blobs are kept unless it is said otherwise.
public enum BlobRetention {
    /// Thirty days.
    ///
    /// A blob must outlive every message that names it: outboxes, retries, waiting rooms, the retention of the transport, and
    /// above all the time until someone redrives a dead letter.
    public static let standard: Duration = .seconds(30 * 24 * 60 * 60)

    /// Seven days: how long after its publication a message may still come, by a redrive at the latest.
    public static let longestRedrive: Duration = .seconds(7 * 24 * 60 * 60)
}

/// Has a store delete blobs by their age.
///
/// A blob that no message names any longer is not told from one that is still needed, so the age decides. Run one beside the
/// services that write to the store; several do no harm.
///
/// ```swift
/// try await Services(OutboxRelay(from: database, to: bus), BlobSweeper(files)).run()
/// ```
public struct BlobSweeper: Service {
    private let store: any BlobStore
    private let retention: Duration
    private let longestRedrive: Duration
    private let period: Duration
    private let batchSize: Int
    private let runtime: Runtime?

    /// Creates a sweeper.
    ///
    /// - Parameters:
    ///   - store: Where the blobs are.
    ///   - retention: How long blobs are kept; thirty days unless given.
    ///   - longestRedrive: How long after its publication a message may still come; seven days unless given. The retention must
    ///     not be shorter.
    ///   - period: The time between two rounds; an hour unless given.
    ///   - batchSize: How many blobs are deleted in one go.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        _ store: any BlobStore,
        retention: Duration = BlobRetention.standard,
        longestRedrive: Duration = BlobRetention.longestRedrive,
        period: Duration = .seconds(60 * 60),
        batchSize: Int = 500,
        runtime: Runtime? = nil
    ) {
        self.store = store
        self.retention = retention
        self.longestRedrive = longestRedrive
        self.period = period
        self.batchSize = batchSize
        self.runtime = runtime
    }

    /// Sweeps until the task is cancelled.
    ///
    /// - Throws: ``ClaimCheckError`` with ``ClaimCheckError/Code/retentionTooShort`` at the start.
    public func run() async throws {
        guard retention >= longestRedrive else {
            throw ClaimCheckError(
                .retentionTooShort,
                "Blobs of the store '\(store.name)' would be deleted after \(retention), but their messages may come for "
                    + "\(longestRedrive). Keep them longer, or state a shorter redrive.")
        }
        let loop = SweepLoop(
            store: "blobs.\(store.name)", period: period, batchSize: batchSize, runtime: runtime ?? .current)
        await loop.run { limit in try await store.sweep(olderThan: retention, limit: limit) }
    }
}
