// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import Testing

@testable import DovetailBulkhead

@Suite("Partitioned bulkhead", .timeLimit(.minutes(10)))
struct PartitionedBulkheadTests {
    private func bulkhead(runtime: Runtime? = nil) -> PartitionedBulkhead<String> {
        PartitionedBulkhead("checkout", limit: 10, shares: ["paying": 6, "free": 2], others: 1, runtime: runtime)
    }

    /// Takes permits until none is left, at most so many.
    private func take(_ count: Int, _ partition: String, _ bulkhead: PartitionedBulkhead<String>) -> [PartitionSlot] {
        (0..<count).compactMap { _ in PartitionSlot(bulkhead, partition) }
    }

    @Test("49: what is not used may be borrowed, up to the limit")
    func borrows() {
        let bulkhead = bulkhead()
        let borrowed = take(20, "free", bulkhead)
        #expect(borrowed.count == 10)
        #expect(
            bulkhead.snapshot() == BulkheadSnapshot(name: "checkout", limit: 10, inUse: 10, waiting: 0, rejected: 10))
        withExtendedLifetime(borrowed) {}
    }

    @Test("49: a share is there at once while others have borrowed it, and no more than the share")
    func guarantee() {
        let bulkhead = bulkhead()
        let borrowed = take(20, "free", bulkhead)
        let own = take(20, "paying", bulkhead)
        #expect(own.count == 6)
        let others = take(20, "unheard-of", bulkhead)
        #expect(others.count == 1)
        #expect(bulkhead.snapshot().inUse == 17)
        // Nothing is lent until fewer are out than the limit.
        for slot in borrowed.prefix(7) { slot.release() }
        #expect(bulkhead.snapshot().inUse == 10)
        #expect(take(20, "free", bulkhead).isEmpty)
        borrowed[7].release()
        #expect(take(20, "paying", bulkhead).count == 1)
        withExtendedLifetime((borrowed, own, others)) {}
    }

    @Test("49: partitions that were not named have one share together")
    func others() {
        let bulkhead = PartitionedBulkhead<String>(limit: 4, shares: ["named": 3], others: 1)
        let named = take(10, "named", bulkhead)
        #expect(named.count == 4)
        let first = take(10, "one", bulkhead)
        #expect(first.count == 1)
        #expect(take(10, "another", bulkhead).isEmpty)
        withExtendedLifetime((named, first)) {}
    }

    @Test("49: a limit below the sum of the shares counts as the sum; shares below zero as zero")
    func limits() {
        #expect(PartitionedBulkhead<Int>(limit: 1, shares: [1: 3, 2: 4], others: 2).snapshot().limit == 9)
        let none = PartitionedBulkhead<Int>(limit: 0, shares: [1: -5])
        #expect(none.snapshot().limit == 0)
        let permit = none.tryAcquire(for: 1)
        let isRefused = permit == nil
        #expect(isRefused)
    }

    @Test("49: permits come back however the call ends; rejections are counted, told and typed")
    func calls() async throws {
        struct Broken: Error {}
        let recorder = Recorder()
        let bulkhead = bulkhead(runtime: Runtime(instrument: recorder))
        await #expect(throws: Broken.self) { try await bulkhead.withPermit(for: "free") { throw Broken() } }
        #expect(try await Guarded(by: bulkhead.guarding("free")).call { 7 } == 7)
        #expect(bulkhead.snapshot().inUse == 0)
        let all = take(10, "free", bulkhead)
        let error = await #expect(throws: BulkheadError.self) { try await bulkhead.withPermit(for: "free") {} }
        #expect(error?.code == .full)
        #expect(error?.message.contains("free") == true)
        #expect((error as (any Error)?) is any CallNotAttempted)
        #expect(recorder.rejections.value.map(\.code) == [.full])
        withExtendedLifetime(all) {}
    }

    @Test("49: over random histories, no share is refused and nothing is lent beyond the limit", arguments: 0..<50)
    func histories(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        func below(_ bound: Int) -> Int { Int(random.next() % UInt64(bound)) }
        let shares = (0..<4).map { _ in below(4) }
        var ledger = PartitionLedger(limit: below(15), shares: shares)
        var used = [0, 0, 0, 0]
        for _ in 0..<500 {
            let share = below(4)
            if below(2) == 0 {
                let total = used.reduce(0, +)
                let isExpected = used[share] < shares[share] || total < ledger.limit
                #expect(ledger.take(share) == isExpected)
                if isExpected { used[share] += 1 }
            } else if used[share] > 0 {
                used[share] -= 1
                ledger.give(share)
            }
            #expect(ledger.inUse == used.reduce(0, +))
        }
    }

    @Test("49: on real threads, everything comes back")
    func races() async {
        let bulkhead = bulkhead()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for _ in 0..<500 { _ = bulkhead.tryAcquire(for: task % 2 == 0 ? "paying" : "free") }
                }
            }
        }
        #expect(bulkhead.snapshot().inUse == 0)
    }
}

/// Holds a permit of a partition.
private final class PartitionSlot: Sendable {
    private final class Held: Sendable {
        let permit: PartitionedBulkhead<String>.Permit

        init(_ permit: consuming PartitionedBulkhead<String>.Permit) {
            self.permit = permit
        }
    }

    private let held: Shared<Held?>

    init?(_ bulkhead: PartitionedBulkhead<String>, _ partition: String) {
        guard let permit = bulkhead.tryAcquire(for: partition) else { return nil }
        held = Shared(Held(permit))
    }

    func release() {
        held.change { $0 = nil }
    }
}
