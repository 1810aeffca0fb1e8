// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@testable import DovetailBulkhead

@Suite("Keyed bulkhead", .timeLimit(.minutes(10)))
struct KeyedBulkheadTests {
    @Test("48: two keys never block each other, and each has its own limit")
    func keysAreApart() async throws {
        let bulkhead = KeyedBulkhead<String>(limit: 1)
        let viral = bulkhead.tryAcquire(for: "viral")
        let isTaken = isHeld(viral)
        #expect(isTaken)
        #expect(!bulkhead.hasPermit(for: "viral"))
        #expect(bulkhead.hasPermit(for: "other"))
        #expect(await code { try await bulkhead.withPermit(for: "viral") {} } == .full)
        try await bulkhead.withPermit(for: "other") {}
        _ = consume viral
        #expect(bulkhead.hasPermit(for: "viral"))
        #expect(bulkhead.isIdle)
    }

    @Test("48: callers that wait for their key keep no other key from its permits", arguments: 0..<20)
    func waitersBlockNobodyElse(seed: UInt64) async throws {
        try await simulated(seed) { _ in
            let bulkhead = KeyedBulkhead<Int>(limit: 2, total: 10, queue: 50)
            let (first, second) = (KeyedSlot(bulkhead, 0), KeyedSlot(bulkhead, 0))
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 { group.addTask { try await bulkhead.withPermit(for: 0) {} } }
                while bulkhead.figures(of: 0).waiting < 20 { await Task.yield() }
                for key in 1...8 { #expect(bulkhead.hasPermit(for: key)) }
                first.release()
                second.release()
                try await group.waitForAll()
            }
            #expect(bulkhead.isIdle)
        }
    }

    @Test("48: the total holds over all keys, and a caller that it turns away took nothing of its key")
    func total() async throws {
        let bulkhead = KeyedBulkhead<Int>("checkout", limit: 2, total: 3)
        let slots = [KeyedSlot(bulkhead, 1), KeyedSlot(bulkhead, 1), KeyedSlot(bulkhead, 2)]
        #expect(bulkhead.snapshot().inUse == 3)
        #expect(!bulkhead.hasPermit(for: 3))
        #expect(await code { try await bulkhead.withPermit(for: 2) {} } == .totalFull)
        #expect(await code { try await bulkhead.withPermit(for: 1) {} } == .full)
        #expect(bulkhead.keys == 2)
        for slot in slots { slot.release() }
        #expect(bulkhead.isIdle)
        #expect(bulkhead.snapshot().rejected == 3)
    }

    @Test("48: those who wait for the total are served in the order in which they had a place of their key")
    func totalInOrder() async throws {
        try await simulated(1) { _ in
            let bulkhead = KeyedBulkhead<Int>(limit: 1, total: 1, queue: 10)
            let order = Shared<[Int]>([])
            let slot = KeyedSlot(bulkhead, 0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                // The second and third of key 1 stand behind the first of key 2.
                for (index, key) in [1, 1, 1, 2].enumerated() {
                    group.addTask {
                        try await bulkhead.withPermit(for: key) { order.change { $0.append(10 * key + index) } }
                    }
                    while bulkhead.snapshot().waiting <= index { await Task.yield() }
                }
                #expect(!bulkhead.hasPermit(for: 3))
                slot.release()
                // Handed on, not free.
                #expect(!bulkhead.hasPermit(for: 3))
                try await group.waitForAll()
            }
            #expect(order.value == [10, 23, 11, 12])
            #expect(bulkhead.isIdle)
        }
    }

    @Test("48: queue limits of a key and of all keys, and a longest wait")
    func queues() async throws {
        try await simulated(1) { time in
            let bulkhead = KeyedBulkhead<Int>(limit: 1, queue: 2, totalQueue: 3, longestWait: .seconds(1))
            let slots = (1...3).map { KeyedSlot(bulkhead, $0) }
            await withTaskGroup(of: BulkheadError.Code?.self) { group in
                for (index, key) in [1, 1, 2].enumerated() {
                    group.addTask { await code { try await bulkhead.withPermit(for: key) {} } }
                    while bulkhead.snapshot().waiting <= index { await Task.yield() }
                    if index == 1 { #expect(await code { try await bulkhead.withPermit(for: 1) {} } == .queueFull) }
                }
                #expect(await code { try await bulkhead.withPermit(for: 3) {} } == .queueFull)
                let started = time.monotonic()
                for await code in group { #expect(code == .waitTimedOut) }
                #expect(time.monotonic() - started == .seconds(1))
            }
            #expect(bulkhead.snapshot().waiting == 0)
            for slot in slots { slot.release() }
            #expect(bulkhead.isIdle)
        }
    }

    @Test("48: those who wait for the total in a place of their key count for its queue")
    func queueInPlace() async throws {
        try await simulated(1) { _ in
            let bulkhead = KeyedBulkhead<Int>(limit: 5, total: 1, queue: 1)
            let slot = KeyedSlot(bulkhead, 0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await bulkhead.withPermit(for: 1) {} }
                while bulkhead.snapshot().waiting < 1 { await Task.yield() }
                #expect(await code { try await bulkhead.withPermit(for: 1) {} } == .queueFull)
                slot.release()
                try await group.waitForAll()
            }
            #expect(bulkhead.isIdle)
        }
    }

    @Test("48: a cancelled waiter leaves its line and its place, and hands a simultaneous grant on", arguments: 0..<50)
    func cancelled(seed: UInt64) async throws {
        let simulation = Simulation(seed: seed)
        try await simulation.run {
            let bulkhead = KeyedBulkhead<Int>(limit: 1, total: 1, queue: 10)
            let slot = KeyedSlot(bulkhead, 0)
            let inPlace = Task(executorPreference: simulation.executor) { try await bulkhead.withPermit(for: 1) {} }
            while bulkhead.snapshot().waiting < 1 { await Task.yield() }
            let inLine = Task(executorPreference: simulation.executor) { try await bulkhead.withPermit(for: 1) {} }
            while bulkhead.snapshot().waiting < 2 { await Task.yield() }
            // Granted first, then cancelled before its task runs.
            if seed % 2 == 0 { slot.release() }
            inPlace.cancel()
            if seed % 2 == 1 { slot.release() }
            await #expect(throws: CancellationError.self) { try await inPlace.value }
            try await inLine.value
            #expect(bulkhead.isIdle)
        }
    }

    @Test("43: a caller that is cancelled already takes nothing")
    func cancelledBefore() async {
        let bulkhead = KeyedBulkhead<Int>(limit: 1)
        await withTaskGroup(of: Void.self) { group in
            group.cancelAll()
            group.addTask {
                await #expect(throws: CancellationError.self) { try await bulkhead.withPermit(for: 1) {} }
            }
        }
        #expect(bulkhead.isIdle)
    }

    @Test("48: an idle key is forgotten at once; many keys leave nothing behind")
    func eviction() async throws {
        let bulkhead = KeyedBulkhead<Int>(limit: 1, total: 1, queue: 1)
        for key in 0..<50_000 { _ = bulkhead.tryAcquire(for: key) }
        #expect(bulkhead.keys == 0)
        #expect(bulkhead.core.read { $0.capacity } == 1)
        let slot = KeyedSlot(bulkhead, -1)
        #expect(!(0..<1000).contains { bulkhead.hasPermit(for: $0) })
        #expect(bulkhead.keys == 1)
        slot.release()
        #expect(bulkhead.isIdle)
    }

    @Test("46: growing and shrinking either limit")
    func resizing() async throws {
        try await simulated(1) { _ in
            let bulkhead = KeyedBulkhead<Int>(limit: 3, total: 3, queue: 10)
            let slots = (0..<3).map { _ in KeyedSlot(bulkhead, 1) }
            let order = Shared<[Int]>([])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<2 {
                    group.addTask { try await bulkhead.withPermit(for: 2) { order.change { $0.append(caller) } } }
                    while bulkhead.figures(of: 2).waiting <= caller { await Task.yield() }
                }
                // Both wait in places that the smaller limit takes away from one of them; that one stays the next of its key.
                bulkhead.apply(.init(limit: 1, total: 3, queue: 10))
                group.addTask { try await bulkhead.withPermit(for: 2) { order.change { $0.append(2) } } }
                while bulkhead.figures(of: 2).waiting < 3 { await Task.yield() }
                bulkhead.apply(.init(limit: 1, total: 5, queue: 10))
                #expect(bulkhead.figures(of: 2).inUse == 1)
                try await group.waitForAll()
            }
            #expect(order.value == [0, 1, 2])
            #expect(!bulkhead.hasPermit(for: 1))
            for slot in slots { slot.release() }
            #expect(bulkhead.isIdle)
            bulkhead.apply(.init(limit: 0, total: 5))
            #expect(!bulkhead.hasPermit(for: 1))
        }
    }

    @Test("46: a limit of zero turns those who wait away", arguments: [true, false])
    func zero(ofTheKey: Bool) async throws {
        try await simulated(1) { _ in
            let bulkhead = KeyedBulkhead<Int>(limit: 1, total: 1, queue: 10)
            let slot = KeyedSlot(bulkhead, 1)
            await withTaskGroup(of: BulkheadError.Code?.self) { group in
                for (index, key) in [1, 1, 2, 2].enumerated() {
                    group.addTask { await code { try await bulkhead.withPermit(for: key) {} } }
                    while bulkhead.snapshot().waiting <= index { await Task.yield() }
                }
                bulkhead.apply(.init(limit: ofTheKey ? 0 : 1, total: ofTheKey ? 1 : 0, queue: 10))
                for await code in group { #expect(code == .full) }
            }
            slot.release()
            #expect(bulkhead.isIdle)
        }
    }

    @Test("47: rejections say which limit it was, and are counted and told; the guard of a key is a guard")
    func events() async throws {
        let recorder = Recorder()
        let runtime = Runtime(instrument: recorder)
        let bulkhead = KeyedBulkhead<String>("checkout", limit: 1, total: 1, runtime: runtime)
        let slot = KeyedSlot(bulkhead, "acme")
        for key in ["acme", "other"] {
            let error = await #expect(throws: BulkheadError.self) {
                try await Guarded(by: bulkhead.guarding(key)).call { 1 }
            }
            #expect((error as (any Error)?) is any CallNotAttempted)
            #expect(error?.message.contains("key \(key)") == true)
        }
        slot.release()
        #expect(try await Guarded(by: bulkhead.guarding("acme")).call { 7 } == 7)
        #expect(recorder.rejections.value.map(\.code) == [.full, .totalFull])
        #expect(bulkhead.snapshot() == BulkheadSnapshot(name: "checkout", limit: 1, inUse: 0, waiting: 0, rejected: 2))
    }

    @Test("48: on real threads, no limit is exceeded, and eviction that races with callers loses no permit")
    func races() async throws {
        let bulkhead = KeyedBulkhead<Int>(
            limit: 2, total: 5, queue: 1000, longestWait: .seconds(1), runtime: Runtime(time: ShortSleeps(turns: 30)))
        let gauges = (0..<4).map { _ in Gauge() }
        let all = Gauge()
        let outcomes = Shared((served: 0, notServed: 0))
        await withTaskGroup(of: Void.self) { group in
            for caller in 0..<1200 {
                group.addTask {
                    let key = caller % 4
                    await withTaskGroup(of: Void.self) { inner in
                        inner.addTask {
                            do {
                                try await bulkhead.withPermit(for: key) {
                                    gauges[key].enter()
                                    all.enter()
                                    await Task.yield()
                                    all.leave()
                                    gauges[key].leave()
                                }
                                outcomes.change { $0.served += 1 }
                            } catch {
                                outcomes.change { $0.notServed += 1 }
                            }
                        }
                        guard caller % 3 == 0 else { return }
                        for _ in 0..<caller % 7 { await Task.yield() }
                        inner.cancelAll()
                    }
                }
            }
        }
        #expect(outcomes.value.served + outcomes.value.notServed == 1200)
        #expect(outcomes.value.served > 0)
        #expect(gauges.allSatisfy { $0.most <= 2 })
        #expect(all.most <= 5)
        #expect(bulkhead.isIdle)
    }
}

/// Holds a permit of a key.
private final class KeyedSlot<Key: Hashable & Sendable>: Sendable {
    private let permit: Shared<Held?>

    /// A permit that may be in a copyable value, since it is given back when the last copy goes.
    private final class Held: Sendable {
        let permit: KeyedBulkhead<Key>.Permit?

        init(_ permit: consuming KeyedBulkhead<Key>.Permit?) {
            self.permit = permit
        }
    }

    init(_ bulkhead: KeyedBulkhead<Key>, _ key: Key) {
        permit = Shared(Held(bulkhead.tryAcquire(for: key)))
    }

    func release() {
        permit.change { $0 = nil }
    }
}

private func isHeld<Key>(_ permit: borrowing KeyedBulkhead<Key>.Permit?) -> Bool { permit != nil }

extension KeyedBulkhead {
    func hasPermit(for key: Key) -> Bool { tryAcquire(for: key) != nil }

    var isIdle: Bool {
        let figures = snapshot()
        return figures.inUse == 0 && figures.waiting == 0 && keys == 0
    }
}
