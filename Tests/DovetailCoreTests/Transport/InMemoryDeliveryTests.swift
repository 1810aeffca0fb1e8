// SPDX-License-Identifier: Apache-2.0

import DovetailTesting
import Testing

@testable import DovetailCore

@Suite("In-memory transport: deliveries", .timeLimit(.minutes(10)))
struct InMemoryDeliveryTests {
    @Test("A key has the same partition in every process")
    func partitionsAreStable() async throws {
        let transport = InMemoryTransport(partitions: 16)
        let member = try await transport.join()
        _ = try await transport.publish([
            numbered(0, key: "order-7"), numbered(1, key: "order-7"), numbered(2, key: "a"),
        ])
        let deliveries = try await member.next(atMost: 10)
        let positions = Set(deliveries.map { "\($0.envelope?.id ?? ""): \($0.position)" })
        // The FNV-1a hash of `order-7` is 0xDEE47A9F34BEDE3B, that of `a` 0xAF63DC4C8601EC8C.
        #expect(positions == ["0: 11@0", "1: 11@1", "2: 12@0"])
    }

    @Test("Messages without a key go to any member that is free")
    func keylessMessagesAreShared() async throws {
        try await simulated {
            let transport = InMemoryTransport(partitions: 1)
            let (first, second) = (try await transport.join(), try await transport.join())
            _ = try await transport.publish(numbered(0..<3))
            #expect(try await first.next(atMost: 1).numbers == [0])
            #expect(try await second.next(atMost: 1).numbers == [1])
            #expect(try await first.next(atMost: 1).numbers == [2])
        }
    }

    @Test("A message without a key does not wait for one with a key that comes later")
    func keylessMessagesDoNotWait() async throws {
        try await simulated {
            let transport = InMemoryTransport(partitions: 1)
            let member = try await transport.join()
            _ = try await transport.publish([numbered(0, key: "a"), numbered(1), numbered(2, key: "a")])
            let first = try await member.next(atMost: 1)
            try await member.settle(first.map { .retry($0.id, after: .seconds(60)) })
            #expect(try await member.read(1) == [1])
            #expect(try await member.poll().numbers == [])
            #expect(try await member.read(2) == [0, 2])
        }
    }

    @Test("A message that comes again holds back its own key, and no other of its partition")
    func retryHoldsBackItsKeyOnly() async throws {
        try await simulated {
            let transport = InMemoryTransport(partitions: 1)
            let member = try await transport.join()
            let keys: [PartitionKey] = ["a", "b", "a", "b", "a"]
            _ = try await transport.publish(keys.enumerated().map { numbered($0.offset, key: $0.element) })
            let first = try await member.next(atMost: 1)
            let started = Runtime.current.time.monotonic()
            try await member.settle(first.map { .retry($0.id, after: .seconds(5)) })
            #expect(try await member.read(2) == [1, 3])

            let again = try await member.next(atMost: 10)
            #expect(again.numbers == [0])
            #expect(again.first?.attempt == 2)
            #expect(Runtime.current.time.monotonic() - started == .seconds(5))
            #expect(try await member.poll().numbers == [], "Later ones of the key wait until it is settled.")
            try await member.settle(again.acknowledged)
            #expect(try await member.read(2) == [2, 4])
            #expect(transport.pending() == 0)
        }
    }

    @Test(
        "Given back without a delay, a message comes at once, before those that were published earlier than it came back"
    )
    func retryAtOnceComesFirst() async throws {
        try await simulated {
            let transport = InMemoryTransport(partitions: 1)
            let member = try await transport.join()
            _ = try await transport.publish(numbered(0..<3, key: "a") + [numbered(3, key: "b")])
            let two = try await member.next(atMost: 2)
            try await member.settle(two.reversed().map { .retry($0.id) })
            #expect(
                try await member.read(4) == [0, 3, 1, 2], "One of the key at a time, until none is left to come again.")
        }
    }

    @Test("What was given back in the wrong order comes again in the right one")
    func givenBackInAnyOrderComesInOrder() async throws {
        try await simulated {
            let transport = InMemoryTransport()
            let member = try await transport.join()
            _ = try await transport.publish(numbered(0..<4, key: "a"))
            let all = try await member.next(atMost: 3)
            try await member.settle([.retry(all[2].id)])
            try await member.settle([.retry(all[0].id, after: .milliseconds(5))])
            try await member.settle([.retry(all[1].id)])
            #expect(try await member.read(4) == [0, 1, 2, 3])
        }
    }

    @Test("Attempts are counted over lost members, closed or forgotten")
    func attemptsAreCountedOverMembers() async throws {
        let transport = InMemoryTransport()
        _ = try await transport.join()
        _ = try await transport.publish([numbered(0, key: "a"), numbered(1)])
        for attempt in 1...3 {
            // The last reference goes away with the scope.
            let member = try await transport.join()
            #expect(try await member.next(atMost: 2).map(\.attempt) == [attempt, attempt])
        }
        let member = try await transport.join()
        let deliveries = try await member.next(atMost: 2)
        #expect(deliveries.map(\.attempt) == [4, 4])
        await member.close()
        #expect(try await transport.join().next(atMost: 2).map(\.attempt) == [5, 5])
    }

    @Test("A member whose task is cancelled leaves its messages to the others")
    func cancelledMemberLeavesItsMessages() async throws {
        try await simulated {
            let transport = InMemoryTransport()
            let heir = try await transport.join()
            _ = try await transport.publish(numbered(0..<3, key: "a"))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let member = try await transport.join()
                    _ = try await member.next(atMost: 2)
                    try? await Runtime.current.time.sleep(for: .seconds(10))
                }
                try await Runtime.current.time.sleep(for: .seconds(1))
                #expect(try await heir.poll().numbers == [])
                group.cancelAll()
            }
            #expect(try await heir.read(3) == [0, 1, 2])
        }
    }

    @Test("What was rejected can be read, the newest if there are many")
    func rejectedIsKept() async throws {
        let transport = InMemoryTransport(capacity: 4)
        let member = try await transport.join()
        for number in 0..<6 {
            _ = try await transport.publish([numbered(number)])
            try await member.settle(try await member.next(atMost: 1).map { .reject($0.id, reason: "odd \(number)") })
        }
        #expect(transport.rejected.map(\.reason) == (2..<6).map { "odd \($0)" })
        #expect(transport.rejected.first?.envelope?.id == "2")
        #expect(transport.rejected.first?.topic == "numbers")
        #expect(transport.rejected.first?.group == "group")
        #expect(transport.rejected.first?.attempts == 1)
        #expect(transport.pending() == 0)
    }

    @Test("Bytes that are no message are delivered as they are, and can be rejected")
    func undecodableCanBeRejected() async throws {
        let transport = InMemoryTransport()
        let member = try await transport.join()
        transport.inject([0xFF], headers: ["a": "b"], into: "numbers")
        let delivery = try #require(try await member.next(atMost: 1).first)
        guard case .undecodable([0xFF], headers: ["a": "b"], let error) = delivery.content else {
            Issue.record("Delivered as \(delivery.content)")
            return
        }
        #expect(error.code == .invalidEnvelope)
        try await member.settle([.reject(delivery.id, reason: "no message")])
        guard case .undecodable([0xFF], _, _)? = transport.rejected.first?.content else {
            Issue.record("The bytes were not kept.")
            return
        }
    }

    @Test("What is pending is counted wherever it is")
    func pendingIsExact() async throws {
        try await simulated {
            let transport = InMemoryTransport(partitions: 1, redeliveryDelay: .seconds(1))
            let member = try await transport.join()
            let idle = try await transport.join("other")
            _ = try await transport.publish(numbered(0..<5))
            #expect(transport.pending() == 5)
            let two = try await member.next(atMost: 2)
            #expect(transport.pending() == 5, "In hand.")
            try await member.settle([.acknowledge(two[0].id), .retry(two[1].id, after: .seconds(1))])
            #expect(transport.pending() == 4, "Delayed.")
            transport.setFaults(TransportFaults(lose: 1))
            #expect(try await member.poll().isEmpty)
            #expect(transport.pending() == 4, "Lost on the way.")
            #expect(transport.hasPendingWork)
            transport.setFaults(.none)
            #expect(try await member.read(4).sorted() == [1, 2, 3, 4])
            #expect(transport.pending() == 0)
            #expect(transport.pending("other") == 5)
            #expect(transport.pendingWork.map(\.topic) == ["numbers"])
            _ = try await idle.read(5)
            #expect(!transport.hasPendingWork)
            #expect(transport.pendingWork.isEmpty)
        }
    }

    @Test("A delivery of one member means nothing to another, even if it names a slot that is in use")
    func deliveriesAreTheMembersOwn() async throws {
        let transport = InMemoryTransport()
        let (first, second) = (try await transport.join(), try await transport.join(topics: ["others"]))
        _ = try await transport.publish([numbered(0), numbered(1, topic: "others")])
        let own = try await first.next(atMost: 1)
        let foreign = try await second.next(atMost: 1)
        #expect(own.map(\.id) != foreign.map(\.id))
        try await first.settle(foreign.acknowledged)
        try await second.settle(own.acknowledged)
        #expect(transport.pendingWork.map(\.count) == [1, 1])
        let colleague = try await transport.join()
        try await colleague.settle(own.acknowledged)
        await colleague.close()
        #expect(transport.pendingWork.map(\.count) == [1, 1])
        try await first.settle(own.acknowledged)
        #expect(transport.pendingWork.map(\.topic) == ["others"])
    }

    @Test("Statistics tell how often what happened")
    func statisticsCount() async throws {
        let transport = InMemoryTransport()
        let member = try await transport.join()
        _ = try await transport.publish(numbered(0..<4))
        let deliveries = try await member.next(atMost: 4)
        try await member.settle([
            .acknowledge(deliveries[0].id), .acknowledge(deliveries[1].id), .retry(deliveries[2].id),
            .reject(deliveries[3].id, reason: "no"),
        ])
        _ = try await member.next(atMost: 1)
        let statistics = transport.statistics
        #expect(statistics.published == 4)
        #expect(statistics.delivered == 5)
        #expect(statistics.redelivered == 1)
        #expect(statistics.acknowledged == 2)
        #expect(statistics.retried == 1)
        #expect(statistics.rejected == 1)
    }

    @Test("A member that was woken for more than it takes passes the rest on")
    func wakeUpIsPassedOn() async throws {
        try await simulated {
            let transport = InMemoryTransport()
            let both = try await transport.join(topics: ["first", "second"])
            let other = try await transport.join(topics: ["second"])
            async let fromBoth = both.next(atMost: 1)
            try await Runtime.current.time.sleep(for: .seconds(1))
            async let fromOther = other.next(atMost: 1)
            try await Runtime.current.time.sleep(for: .seconds(1))
            _ = try await transport.publish([numbered(1, topic: "first"), numbered(2, topic: "second")])
            #expect(try await fromBoth.numbers == [1])
            #expect(try await fromOther.numbers == [2])
        }
    }

    @Test("A member whose wait was cancelled as it was woken passes the work on")
    func cancelledWaitPassesWorkOn() async throws {
        for seed in 0..<20 as Range<UInt64> {
            try await simulated(seed: seed) {
                let transport = InMemoryTransport()
                let (first, second) = (try await transport.join(), try await transport.join())
                try await withThrowingTaskGroup(of: [Int].self) { group in
                    group.addTask { (try? await first.next(atMost: 1).numbers) ?? [] }
                    try await Runtime.current.time.sleep(for: .seconds(1))
                    async let fromSecond = second.next(atMost: 1)
                    try await Runtime.current.time.sleep(for: .seconds(1))
                    _ = try await transport.publish([numbered(0)])
                    group.cancelAll()
                    if try await group.next() == [] {
                        #expect(try await fromSecond.numbers == [0])
                    } else {
                        await second.close()
                    }
                }
            }
        }
    }

    @Test("A waiting member hears of a message that another one gave back for later")
    func waitingMembersHearOfDelays() async throws {
        try await simulated {
            let transport = InMemoryTransport()
            let (first, second) = (try await transport.join(), try await transport.join())
            _ = try await transport.publish(numbered(0..<2))
            let deliveries = try await first.next(atMost: 2)
            async let received = second.next(atMost: 1)
            try await Runtime.current.time.sleep(for: .seconds(1))
            let started = Runtime.current.time.monotonic()
            try await first.settle([.retry(deliveries[0].id, after: .seconds(60))])
            try await Runtime.current.time.sleep(for: .seconds(1))
            // Earlier than what the member knows of.
            try await first.settle([.retry(deliveries[1].id, after: .seconds(10))])
            #expect(try await received.numbers == [1])
            #expect(Runtime.current.time.monotonic() - started == .seconds(11))
        }
    }

    @Test("A lane that becomes free is read by a member that waits")
    func freedLaneIsRead() async throws {
        try await simulated {
            let transport = InMemoryTransport()
            let (first, second) = (try await transport.join(), try await transport.join())
            _ = try await transport.publish(numbered(0..<2, key: "a"))
            let delivery = try await first.next(atMost: 1)
            async let received = second.next(atMost: 1)
            try await Runtime.current.time.sleep(for: .seconds(1))
            try await first.settle(delivery.acknowledged)
            #expect(try await received.numbers == [1])
        }
    }

    @Test("A subscription to no topic ends when it is closed")
    func noTopics() async throws {
        try await simulated {
            let member = try await InMemoryTransport().join(topics: [])
            async let deliveries = member.next(atMost: 1)
            try await Runtime.current.time.sleep(for: .seconds(1))
            await member.close()
            #expect(try await deliveries.isEmpty)
        }
    }

    @Test("A transport that nobody holds is freed with all it stores")
    func transportIsFreed() async throws {
        final class Token: Sendable {}
        var token: Token? = Token()
        weak let weakToken = token
        var transport: InMemoryTransport? = InMemoryTransport()
        let member = try await transport?.join()
        transport?.onPublish { [token] _ in _ = token }
        _ = try await transport?.publish([numbered(0)])
        _ = try await member?.next(atMost: 1)
        await member?.close()
        token = nil
        transport = nil
        #expect(weakToken != nil, "The member still holds it.")
        _ = consume member
        #expect(weakToken == nil)
    }
}
