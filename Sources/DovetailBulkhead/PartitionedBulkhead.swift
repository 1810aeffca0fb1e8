// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailResilience
import Synchronization

/// Guarantees each partition a share of the permits, and lends what is not used.
///
/// ```swift
/// let checkout = PartitionedBulkhead<Tier>("checkout", limit: 100, shares: [.paying: 60, .free: 20], others: 5)
/// let receipt = try await checkout.withPermit(for: customer.tier) { try await charge(order) }
/// ```
///
/// - A partition always gets its share, at once, also while others have borrowed it. The permits out are then more than the
///   limit, by at most what was borrowed, until a borrower gives one back.
/// - Beyond its share a partition borrows: only while fewer permits are out than the limit.
/// - Partitions that were not named have one share together.
///
/// Nobody waits. For a limit of each key rather than a guarantee, use a ``KeyedBulkhead``.
public final class PartitionedBulkhead<Partition: Hashable & Sendable>: Sendable {
    /// The right to one call, held until it is given back.
    ///
    /// Like ``Bulkhead/Permit``: it cannot be copied and is given back exactly once.
    ///
    /// ```swift
    /// guard let permit = checkout.tryAcquire(for: .paying) else { return .busy }
    /// ```
    public struct Permit: ~Copyable, Sendable {
        private let core: Core
        private let share: Int

        fileprivate init(_ core: Core, share: Int) {
            self.core = core
            self.share = share
        }

        deinit {
            core.ledger.withLock { $0.give(share) }
        }

        /// Gives the permit back now.
        public consuming func release() {}
    }

    fileprivate final class Core: Sendable {
        let ledger: Mutex<PartitionLedger>
        let rejections = Atomic<Int>(0)

        init(_ ledger: PartitionLedger) {
            self.ledger = Mutex(ledger)
        }
    }

    /// What it is called in errors and events.
    public let name: String

    private let core: Core
    /// Which share a partition has; the first is that of those that were not named.
    private let shares: [Partition: Int]
    private let ownRuntime: Runtime?

    /// Creates a bulkhead with all its permits free.
    ///
    /// - Parameters:
    ///   - name: What it is called in errors and events.
    ///   - limit: How many permits may be out before nothing is lent any more; at least the sum of the shares.
    ///   - shares: How many permits each partition is guaranteed; less than zero counts as zero.
    ///   - others: How many permits all other partitions together are guaranteed.
    ///   - runtime: Where events go to; the current task's if `nil`.
    public init(
        _ name: String = "bulkhead", limit: Int, shares: [Partition: Int], others: Int = 0, runtime: Runtime? = nil
    ) {
        self.name = name
        let named = Array(shares)
        self.shares = Dictionary(uniqueKeysWithValues: named.enumerated().map { ($1.key, $0 + 1) })
        core = Core(PartitionLedger(limit: limit, shares: [others] + named.map(\.value)))
        ownRuntime = runtime
    }

    /// Takes a permit: of the partition's share, or else one that is lent; never waits.
    ///
    /// - Parameter partition: The partition.
    /// - Returns: The permit; `nil` if there is none to be had now.
    public func tryAcquire(for partition: Partition) -> Permit? {
        let share = shares[partition] ?? 0
        if core.ledger.withLock({ $0.take(share) }) { return Permit(core, share: share) }
        core.rejections.wrappingAdd(1, ordering: .relaxed)
        if Runtime.mayBeHeard {
            (ownRuntime ?? .current).instrument?.record(BulkheadRejected(bulkhead: name, code: .full))
        }
        return nil
    }

    /// Makes a call with a permit; never waits for one.
    ///
    /// - Parameters:
    ///   - partition: The partition.
    ///   - body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``BulkheadError`` with ``BulkheadError/Code/full`` if no permit was to be had.
    public func withPermit<Result>(
        for partition: Partition, _ body: () async throws -> Result
    ) async throws -> Result {
        guard let permit = tryAcquire(for: partition) else {
            throw BulkheadError(
                .full,
                "The bulkhead '\(name)' did not let a call of \(partition) through: its share is used up and nothing is left to "
                    + "lend. Try again later, or give it a larger share.",
                bulkhead: name
            )
        }
        let result = try await body()
        permit.release()
        return result
    }

    /// The guard of one partition.
    ///
    /// - Parameter partition: The partition.
    /// - Returns: A guard whose calls need a permit of the partition.
    public func guarding(_ partition: Partition) -> some Guard {
        PartitionGuard(bulkhead: self, partition: partition)
    }

    private struct PartitionGuard: Guard {
        let bulkhead: PartitionedBulkhead
        let partition: Partition

        func call<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
            try await bulkhead.withPermit(for: partition, body)
        }
    }

    /// The figures of all partitions together.
    ///
    /// - Returns: The figures, all of one moment.
    public func snapshot() -> BulkheadSnapshot {
        let (limit, inUse) = core.ledger.withLock { ($0.limit, $0.inUse) }
        return BulkheadSnapshot(
            name: name, limit: limit, inUse: inUse, waiting: 0, rejected: core.rejections.load(ordering: .relaxed))
    }
}
