// SPDX-License-Identifier: Apache-2.0

import DovetailTesting
import Testing

@testable import DovetailCore

@Suite("In-memory transport: publishing and memory", .timeLimit(.minutes(10)))
struct InMemoryPublishTests {
    @Test("Publishing waits while a group lags, and goes on in the order of those who wait")
    func publishingWaits() async throws {
        try await simulated {
            let transport = InMemoryTransport(capacity: 4)
            let member = try await transport.join()
            _ = try await transport.publish(numbered(0..<4))
            let order = Shared<[Int]>([])
            try await withThrowingTaskGroup(of: Void.self) { group in
                for publisher in 1...3 {
                    group.addTask {
                        try await Runtime.current.time.sleep(for: .milliseconds(publisher))
                        _ = try await transport.publish(numbered(publisher * 10..<publisher * 10 + 2))
                        order.change { $0.append(publisher) }
                    }
                }
                try await Runtime.current.time.sleep(for: .seconds(1))
                #expect(order.value == [])
                #expect(transport.statistics.published == 4)
                #expect(try await member.read(2, atMost: 1) == [0, 1])
                try await Runtime.current.time.sleep(for: .seconds(1))
                #expect(order.value == [1])
                #expect(try await member.read(8, atMost: 1) == [2, 3, 10, 11, 20, 21, 30, 31])
                try await group.waitForAll()
                #expect(order.value == [1, 2, 3])
            }
        }
    }

    @Test("A batch larger than the capacity is published piece by piece")
    func largeBatchIsPublished() async throws {
        try await simulated {
            let transport = InMemoryTransport(capacity: 3)
            let member = try await transport.join()
            async let results = transport.publish(numbered(0..<20))
            #expect(try await member.read(20, atMost: 2) == Array(0..<20))
            #expect(try await results.count == 20)
        }
    }

    @Test("Each group that lags keeps publishers waiting, also one without members")
    func everyGroupCounts() async throws {
        try await simulated {
            let transport = InMemoryTransport(capacity: 2)
            let quick = try await transport.join("quick")
            let slow = try await transport.join("slow")
            await slow.close()
            async let results = transport.publish(numbered(0..<3))
            #expect(try await quick.read(2) == [0, 1])
            try await Runtime.current.time.sleep(for: .seconds(1))
            #expect(transport.statistics.published == 2)
            let returning = try await transport.join("slow")
            #expect(try await returning.read(1) == [0])
            #expect(try await results.count == 3)
        }
    }

    @Test("Who is cancelled while waiting for room leaves the line, and those behind go on")
    func waitingCanBeCancelled() async throws {
        try await simulated {
            let transport = InMemoryTransport(capacity: 1)
            let member = try await transport.join()
            _ = try await transport.publish([numbered(0)])
            let cancelled = try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do {
                        _ = try await transport.publish([numbered(1)])
                        return false
                    } catch is CancellationError { return true }
                }
                try await Runtime.current.time.sleep(for: .seconds(1))
                group.cancelAll()
                return try await group.next()
            }
            #expect(cancelled == true)
            async let published = transport.publish([numbered(2)])
            #expect(try await member.read(2) == [0, 2])
            _ = try await published
        }
    }

    @Test("A member that has nothing to take lets publishers go on")
    func idleMembersLetPublishersGoOn() async throws {
        try await simulated {
            let transport = InMemoryTransport(capacity: 16)
            let member = try await transport.join()
            _ = try await transport.publish(numbered(0..<16))
            async let published = transport.publish([numbered(16)])
            let deliveries = try await member.next(atMost: 16)
            // One is free, which is less than an eighth.
            try await member.settle([.acknowledge(deliveries[0].id)])
            #expect(try await member.next(atMost: 1).numbers == [16])
            _ = try await published
        }
    }

    @Test("A topic that nobody has read keeps its newest messages, and tells of those it drops")
    func unreadTopicIsBounded() async throws {
        let log = EventLog()
        let transport = InMemoryTransport(capacity: 10, runtime: Runtime(instrument: log))
        for number in 0..<35 {
            _ = try await transport.publish([
                numbered(number, key: number % 3 == 0 ? nil : PartitionKey("\(number % 5)"))
            ])
        }
        #expect(transport.statistics.dropped == 25)
        #expect(transport.statistics.retained == 10)
        #expect(log.all == Array(repeating: "dovetail.message.dropped", count: 25))
        #expect(try await transport.join().read(10).sorted() == Array(25..<35))
    }

    @Test("Memory stays flat over many messages, whatever the groups do")
    func memoryIsFlat() async throws {
        let transport = InMemoryTransport(capacity: 500)
        let members = [try await transport.join("one"), try await transport.join("two")]
        let most = Shared(0)
        let count = 60_000
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for start in stride(from: 0, to: count, by: 50) {
                    _ = try await transport.publish(
                        (start..<start + 50).map { numbered($0, key: $0 % 4 == 0 ? nil : PartitionKey("\($0 % 97)")) }
                    )
                    let retained = transport.statistics.retained
                    most.change { $0 = max($0, retained) }
                }
            }
            for member in members {
                group.addTask {
                    var late: Delivery.ID?
                    var done = 0
                    while done < count - 1 {
                        var settlements: [Settlement] = []
                        for delivery in try await member.next(atMost: 64) {
                            if late == nil, delivery.envelope?.partitionKey == nil {
                                // One that comes much later must not keep all that follow it in memory.
                                late = delivery.id
                                settlements.append(.retry(delivery.id, after: .seconds(100_000)))
                            } else {
                                settlements.append(.acknowledge(delivery.id))
                                done += 1
                            }
                        }
                        try await member.settle(settlements)
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(most.value > 0)
        #expect(most.value <= 500 * members.count, "Each group may lag in other partitions.")
        #expect(transport.statistics.retained == 0)
        #expect(transport.pending("one") == 1)
    }

    @Test("A transport that keeps everything replays it to a late group")
    func retentionOfAll() async throws {
        let transport = InMemoryTransport(retention: .all)
        _ = try await transport.publish(numbered(0..<50))
        #expect(try await transport.join("one").read(50) == Array(0..<50))
        #expect(transport.statistics.retained == 50)
        #expect(try await transport.join("two").read(50) == Array(0..<50))
        #expect(transport.capabilities.replays)
        #expect(!InMemoryTransport().capabilities.replays)
    }

    @Test("A message that is too large is refused, as is what follows of its key")
    func tooLarge() async throws {
        let transport = InMemoryTransport(mostMessageBytes: 300, mostHeaderBytes: 200)
        var large = numbered(0, key: "a")
        large.payload = Bytes(repeating: 0, count: 301)
        var wordy = numbered(1)
        wordy.attributes.headers["x"] = String(repeating: "x", count: 201)
        let results = try await transport.publish([large, wordy, numbered(2, key: "a"), numbered(3, key: "b")])
        #expect(results.map { $0.error?.code } == [.messageTooLarge, .headersTooLarge, .notAttempted, nil])
    }

    @Test("Observers are told of each message that is stored, and of no other")
    func observersSeeWhatIsStored() async throws {
        let transport = InMemoryTransport()
        let seen = Shared<[String]>([])
        transport.onPublish { envelope in seen.change { $0.append(envelope.id.rawValue) } }
        var invalid = numbered(1)
        invalid.attributes.source = ""
        _ = try await transport.publish([numbered(0), invalid, numbered(2, topic: "other"), numbered(3)])
        #expect(seen.value == ["0", "2", "3"])
    }

    @Test("A service that is cut off has no effects any more, wherever it waits")
    func fence() async throws {
        try await simulated {
            let transport = InMemoryTransport(capacity: 1)
            let fence = Fence()
            let service = transport.fenced(by: fence)
            let member = try await service.join()
            let other = try await service.join("other")
            _ = try await service.publish([numbered(0)])
            let deliveries = try await member.next(atMost: 1)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: Fence.Down.self) { try await service.publish([numbered(1)]) }
                }
                group.addTask {
                    _ = try await other.read(1)
                    await #expect(throws: Fence.Down.self) { try await other.next(atMost: 1) }
                }
                try await Runtime.current.time.sleep(for: .seconds(1))
                fence.raise()
                await #expect(throws: Fence.Down.self) { try await member.settle(deliveries.acknowledged) }
                await #expect(throws: Fence.Down.self) { try await member.next(atMost: 1) }
                await #expect(throws: Fence.Down.self) { try await service.join() }
                await #expect(throws: Fence.Down.self) { try await service.publish([numbered(2)]) }
                await member.close()

                // The world outside goes on, and nobody's place in line was lost.
                let heir = try await transport.join()
                #expect(try await heir.read(1) == [0])
                _ = try await transport.publish([numbered(3)])
                #expect(try await heir.read(1) == [3])
                try await group.waitForAll()
            }
        }
    }
}
