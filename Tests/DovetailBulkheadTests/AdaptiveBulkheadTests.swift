// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@testable import DovetailBulkhead

@Suite("Adaptive bulkhead", .timeLimit(.minutes(10)))
struct AdaptiveBulkheadTests {
    struct Broken: Error {}
    struct TooMany: RetryAfterProviding {
        var retryAfter: Duration? { .seconds(1) }
    }

    /// Keeps what it was told.
    private struct Notebook: LimitAlgorithm {
        let samples: Shared<[LimitSample]>
        var limit = 2

        mutating func update(_ sample: LimitSample, random: any RandomSource) {
            samples.change { $0.append(sample) }
            limit += 1
        }
    }

    @Test("50: a call that returns is a sample; one that throws only if it was dropped; a cancelled one never")
    func samples() async throws {
        let simulation = Simulation(seed: 1)
        try await simulation.run {
            let samples = Shared<[LimitSample]>([])
            let bulkhead = AdaptiveBulkhead("search", Notebook(samples: samples))
            let time = simulation.time
            try await bulkhead.call { try await time.sleep(for: .milliseconds(30)) }
            #expect(samples.value == [LimitSample(elapsed: .milliseconds(30), inFlight: 1)])
            #expect(bulkhead.snapshot().limit == 3)

            await #expect(throws: Broken.self) { try await bulkhead.call { throw Broken() } }
            await #expect(throws: BulkheadError.self) {
                try await bulkhead.call { try await Bulkhead(limit: 0).withPermit {} }
            }
            // A cancellation that comes from elsewhere.
            await #expect(throws: CancellationError.self) { try await bulkhead.call { throw CancellationError() } }
            let cancelled = Task(executorPreference: simulation.executor) {
                try await bulkhead.call {
                    try? await time.sleep(for: .seconds(60))
                    throw TooMany()
                }
            }
            while bulkhead.snapshot().inUse < 1 { await Task.yield() }
            cancelled.cancel()
            _ = await cancelled.result
            #expect(samples.value.count == 1)

            await #expect(throws: TooMany.self) { try await bulkhead.call { throw TooMany() } }
            await #expect(throws: ResilienceError.self) {
                try await Guarded(by: bulkhead, .timeout(.seconds(1))).call { try await time.sleep(for: .seconds(60)) }
            }
            #expect(samples.value.map(\.wasDropped) == [false, true, true])
            #expect(samples.value.allSatisfy { $0.inFlight == 1 })
            #expect(samples.value.last?.elapsed == .seconds(1))
            #expect(bulkhead.snapshot().inUse == 0)
        }
    }

    @Test("50: a result that counts as a failure is a sample if the error it stands for means that it was dropped")
    func failedResults() async throws {
        try await Simulation(seed: 1).run {
            let samples = Shared<[LimitSample]>([])
            let bulkhead = AdaptiveBulkhead("search", Notebook(samples: samples)) { $0 is Broken }
            let byDefault = AdaptiveBulkhead("orders", Notebook(samples: samples))
            let late = ResilienceError(.timedOut, "The other side says so.")
            let notDropped = try await bulkhead.call({ 504 }, failing: { _ in late })
            #expect(notDropped == 504)
            #expect(samples.value.isEmpty)
            let dropped = try await bulkhead.call({ 503 }, failing: { _ in Broken() })
            #expect(dropped == 503)
            let droppedByDefault = try await byDefault.call({ 504 }, failing: { _ in late })
            #expect(droppedByDefault == 504)
            #expect(samples.value.map(\.wasDropped) == [true, true])
        }
    }

    @Test("50: finds the limit of a service that gets slower beyond ten calls at once", arguments: 0..<3)
    func findsTheLimit(seed: UInt64) async throws {
        try await simulated(seed) { time in
            let bulkhead = AdaptiveBulkhead("service", VegasLimit(initial: 50, within: 1...200), queue: 1000)
            let service = Bulkhead("service", limit: 10, queue: 1000)
            let peaks = Shared<[Int]>([])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<40 {
                    group.addTask {
                        for round in 0..<100 {
                            try await bulkhead.call {
                                try await service.withPermit { try await time.sleep(for: .milliseconds(10)) }
                            }
                            if round > 60 { peaks.change { $0.append(bulkhead.snapshot().limit) } }
                        }
                    }
                }
                try await group.waitForAll()
            }
            let sorted = peaks.value.sorted()
            #expect((8...25).contains(sorted[sorted.count / 2]), "\(sorted[sorted.count / 2])")
        }
    }

    @Test("50: calls that end at once leave the last decision in force")
    func concurrentUpdates() async throws {
        let bulkhead = AdaptiveBulkhead("race", Notebook(samples: Shared([])), queue: 1000)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<500 { group.addTask { try await bulkhead.call { await Task.yield() } } }
            try await group.waitForAll()
        }
        #expect(bulkhead.snapshot() == BulkheadSnapshot(name: "race", limit: 502, inUse: 0, waiting: 0, rejected: 0))
    }
}
