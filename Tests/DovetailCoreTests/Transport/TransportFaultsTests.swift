// SPDX-License-Identifier: Apache-2.0

import DovetailTesting
import Testing

@testable import DovetailCore

@Suite("In-memory transport: faults", .timeLimit(.minutes(10)))
struct TransportFaultsTests {
    /// Everything that a run can show: what was stored, and each delivery with its time.
    private struct Outcome: Sendable, Equatable {
        var results: [String] = []
        var deliveries: [String] = []
        var statistics = InMemoryTransport.Statistics()

        /// The numbers of the first deliveries.
        var first: [Int] {
            var seen: Set<Int> = []
            return deliveries.compactMap { Int($0.prefix { $0 != " " }) }.filter { seen.insert($0).inserted }
        }
    }

    /// Publishes messages of three keys and reads until nothing is pending.
    private func outcome(seed: UInt64, _ faults: TransportFaults, members: Int = 2) async throws -> Outcome {
        try await simulated(seed: seed) {
            let transport = InMemoryTransport(redeliveryDelay: .milliseconds(30), faults: faults)
            let outcome = Shared(Outcome())
            var subscriptions: [InMemorySubscription] = []
            for _ in 0..<members { subscriptions.append(try await transport.join()) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for subscription in subscriptions {
                    group.addTask {
                        while true {
                            let deliveries: [Delivery]
                            do { deliveries = try await subscription.next(atMost: 3) } catch { return }
                            let now = Runtime.current.time.monotonic().nanoseconds
                            outcome.change { outcome in
                                outcome.deliveries += deliveries.map { delivery in
                                    "\(delivery.envelope?.id ?? "") attempt \(delivery.attempt ?? 0) at \(now)"
                                }
                            }
                            try await Runtime.current.time.sleep(for: .milliseconds(1))
                            try await subscription.settle(deliveries.acknowledged)
                        }
                    }
                }
                for number in 0..<60 {
                    let results = try await transport.publish([numbered(number, key: PartitionKey("\(number % 3)"))])
                    outcome.change { $0.results += results.map { $0.error?.code.description ?? "published" } }
                }
                while transport.hasPendingWork { try await Runtime.current.time.sleep(for: .milliseconds(10)) }
                group.cancelAll()
            }
            outcome.change { $0.statistics = transport.statistics }
            return outcome.value
        }
    }

    /// Whether the messages of each key are in the order in which they were published.
    private func keepsOrder(_ numbers: [Int]) -> Bool {
        Dictionary(grouping: numbers) { $0 % 3 }.values.allSatisfy { $0 == $0.sorted() }
    }

    private static let everything = TransportFaults(
        publishFails: 0.2, duplicate: 0.2, delay: 0.2, reorder: 0.2, lose: 0.2
    )

    @Test("The same seed has the same faults, another seed has others")
    func seedDecides() async throws {
        let first = try await outcome(seed: 7, Self.everything)
        let again = try await outcome(seed: 7, Self.everything)
        let other = try await outcome(seed: 8, Self.everything)
        #expect(first == again)
        #expect(first != other)
        #expect(first.statistics.lost > 0)
        #expect(first.statistics.delayed > 0)
        #expect(first.statistics.duplicated > 0)
    }

    @Test("No fault loses what was stored")
    func nothingStoredIsLost() async throws {
        var results: [String: Int] = [:]
        var stored = 0
        for seed in 0..<20 as Range<UInt64> {
            let outcome = try await outcome(seed: seed, Self.everything)
            #expect(Set(outcome.first).count == outcome.statistics.published, "seed \(seed)")
            for result in outcome.results { results[result, default: 0] += 1 }
            stored += outcome.statistics.published
        }
        // Of 1200 messages a fifth fails, and half of those are stored all the same.
        let (timedOut, unavailable) = (results["timedOut", default: 0], results["unavailable", default: 0])
        #expect((90...150).contains(timedOut))
        #expect((90...150).contains(unavailable))
        #expect(stored == 1200 - unavailable)
    }

    @Test("Of lost deliveries each comes again after its delay, and those that follow of its key wait")
    func lossKeepsOrder() async throws {
        for seed in 0..<20 as Range<UInt64> {
            let outcome = try await outcome(seed: seed, TransportFaults(lose: 0.3))
            #expect(outcome.first.count == 60)
            #expect(keepsOrder(outcome.first), "seed \(seed)")
            #expect(outcome.statistics.lost > 0)
            #expect(outcome.deliveries.contains { $0.contains("attempt 2") }, "A lost delivery counts.")
        }
    }

    @Test("Late messages are waited for by those that follow of their key")
    func delayKeepsOrder() async throws {
        for seed in 0..<20 as Range<UInt64> {
            let outcome = try await outcome(seed: seed, TransportFaults(delay: 0.3, longestDelay: .milliseconds(40)))
            #expect(outcome.first.count == 60)
            #expect(keepsOrder(outcome.first), "seed \(seed)")
            #expect(outcome.statistics.delayed > 0)
            #expect(outcome.statistics.redelivered == 0, "A late message was not delivered before.")
        }
    }

    @Test("Reordering lets messages of a key overtake each other, and loses none")
    func reorderBreaksOrder() async throws {
        var broken = 0
        for seed in 0..<20 as Range<UInt64> {
            let outcome = try await outcome(seed: seed, TransportFaults(reorder: 0.3), members: 1)
            #expect(Set(outcome.first).count == 60, "seed \(seed)")
            #expect(outcome.deliveries.count == 60)
            if !keepsOrder(outcome.first) { broken += 1 }
        }
        #expect(broken > 10)
    }

    @Test("A repeated message comes twice, the second time perhaps while the first is handled")
    func duplicatesComeTwice() async throws {
        let outcome = try await outcome(seed: 3, TransportFaults(duplicate: 1))
        #expect(outcome.deliveries.count == 120)
        #expect(outcome.statistics.duplicated == 60)
        #expect(keepsOrder(outcome.first))

        let transport = InMemoryTransport(faults: TransportFaults(duplicate: 1))
        let members = (try await transport.join(), try await transport.join())
        _ = try await transport.publish([numbered(0)])
        #expect(try await members.0.next(atMost: 1).numbers == [0])
        #expect(
            try await members.1.next(atMost: 1).numbers == [0], "Another member has the second copy at the same time.")
    }

    @Test("After a failed publish, later envelopes of its key in the call are not attempted")
    func failedPublishStopsItsKey() async throws {
        let transport = InMemoryTransport(faults: TransportFaults(publishFails: 1, storedAnyway: 0))
        let results = try await transport.publish([
            numbered(0, key: "a"), numbered(1, key: "a"), numbered(2), numbered(3),
        ])
        #expect(results.map { $0.error?.code } == [.unavailable, .notAttempted, .unavailable, .unavailable])
        #expect(transport.statistics.published == 0)
        transport.setFaults(TransportFaults(publishFails: 1, storedAnyway: 1))
        let stored = try await transport.publish([numbered(0, key: "a"), numbered(1, key: "a"), numbered(2)])
        #expect(stored.map { $0.error?.code } == [.timedOut, .notAttempted, .timedOut])
        #expect(transport.statistics.published == 2)
        transport.setFaults(.none)
        #expect(try await transport.publish([numbered(3, key: "a")]).allSatisfy { $0.error == nil })
    }

    @Test("Faults with senseless numbers do no harm")
    func senselessNumbers() async throws {
        try await simulated {
            let faults = TransportFaults(
                publishFails: .nan, duplicate: -1, delay: 5, longestDelay: .seconds(-3), reorder: .infinity,
                lose: -.infinity
            )
            let transport = InMemoryTransport(
                partitions: -1, capacity: -1, redeliveryDelay: .seconds(-1), faults: faults
            )
            let member = try await transport.join()
            async let results = transport.publish(numbered(0..<3, key: "a"))
            #expect(try await member.read(3).sorted() == [0, 1, 2])
            _ = try await results
            let endless = InMemoryTransport(
                partitions: .max, capacity: .max, redeliveryDelay: .seconds(Int64.max),
                faults: TransportFaults(delay: 1, longestDelay: .seconds(Int64.max), lose: 0)
            )
            _ = try await endless.join().poll()
        }
    }
}
