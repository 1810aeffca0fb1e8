// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dovetail
    import Foundation
    import Testing

    @testable import DovetailRabbitMQ

    /// Members of groups of a real broker.
    @Suite(.serialized, .disabled(if: Broker.isMissing, Broker.whyMissing), .timeLimit(.minutes(10)))
    struct RabbitMQSubscriptionTests {
        private let run = RabbitMQRun()
        private var topic: Topic { run.topic }
        private var group: ConsumerGroup { run.group }

        @Test("A member may come at the very moment at which the last one goes")
        func comesAsTheLastGoes() async throws {
            let going = try Broker.connect()
            let coming = try Broker.connect()
            for _ in 0..<40 {
                let first = try await going.subscribe(to: [run.topic], as: run.group)
                async let second = coming.subscribe(to: [run.topic], as: run.group)
                await first.close()
                await (try await second).close()
            }
            await going.close()
            try await run.clean(coming)
        }

        @Test(
            "After a crash what was not settled comes again in its order, and nothing else, though it was settled out of order"
        )
        func crash() async throws {
            let transport = try Broker.connect()
            let member = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(0..<10, key: { _ in "a" }), to: transport)
            let deliveries = try await run.receive(10, from: member)
            #expect(run.numbers(deliveries) == Array(0..<10))
            let left: Set = [3, 5, 6]
            try await member.settle(
                deliveries.reversed().filter { left.isDisjoint(with: run.numbers([$0])) }.map { .acknowledge($0.id) })
            // One of those that are left was given back before.
            try await member.settle([.retry(deliveries[3].id)])
            _ = try await run.receive(1, from: member)
            try await run.waitForBacklog(3, transport)
            try await run.time.sleep(for: .milliseconds(100))
            await member.abandon()
            let heir = try await transport.subscribe(to: [topic], as: group)
            let again = try await run.receive(4, from: heir, within: .seconds(3))
            #expect(run.numbers(again) == [3, 5, 6])
            try await heir.settle(again.map { .acknowledge($0.id) })
            try await run.waitForBacklog(0, transport)
            await heir.close()
            try await run.clean(transport)
        }

        @Test("What came before a channel was closed is not read as if it came over the next one with its number")
        func sameChannelAgain() async throws {
            let transport = try Broker.connect(topics: .onDemand(partitions: 1))
            try await transport.addGroup(group, to: [topic])
            try await run.publish(run.messages(0..<10), to: transport)
            let queue = try RabbitMQNames(topic: topic, partitions: 1).queue(of: group, partition: 0)
            let tags = try await transport.run("The messages") { connection, _ throws(AMQPFailure) in
                let channel: UInt16 = 7
                try connection.open(channel)
                try connection.consume(queue, prefetch: 10, on: channel)
                // Until they are here, where nobody reads them.
                Thread.sleep(forTimeInterval: 0.5)
                try connection.close(channel)
                try connection.open(channel)
                // Not as many at once, by which those that come now are known from those that came before.
                try connection.consume(queue, prefetch: 3, on: channel)
                var tags: [UInt64] = []
                let deadline = SystemTime().monotonic() + .seconds(20)
                while tags.count < 3, SystemTime().monotonic() < deadline {
                    while let event = try connection.next() {
                        if case .delivery(_, let tag, _) = event { tags.append(tag) }
                    }
                    Thread.sleep(forTimeInterval: 0.005)
                }
                try connection.close(channel)
                return tags
            }
            #expect(tags == [1, 2, 3])
            try await run.clean(transport)
        }

        @Test("What is rejected does not come again, and is kept in the queue of the group's rejected messages")
        func rejectedIsKept() async throws {
            let transport = try Broker.connect()
            let member = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(0..<3), to: transport)
            let deliveries = try await run.receive(3, from: member)
            try await member.settle([.reject(deliveries[1].id, reason: "no")])
            try await member.settle([.acknowledge(deliveries[0].id), .acknowledge(deliveries[2].id)])
            await member.close()
            let queue = try RabbitMQNames(topic: topic, partitions: 3).rejected(of: group)
            let deadline = run.time.monotonic() + .seconds(10)
            var kept = 0
            while kept != 1, run.time.monotonic() < deadline { kept = try await transport.waiting(in: queue) }
            #expect(kept == 1)
            #expect(try await transport.backlog(of: group, on: [topic]) == 0)
            try await run.clean(transport)
        }

        @Test("A connection that is cut is made anew, with all its members, and what is not settled comes again")
        func reconnect() async throws {
            let log = EventLog()
            let transport = try Broker.connect(runtime: Runtime(instrument: log))
            let other = RabbitMQRun()
            let members = (
                try await transport.subscribe(to: [topic], as: group),
                try await transport.subscribe(to: [other.topic], as: group)
            )
            try await run.publish(run.messages(0..<4, key: { _ in "a" }), to: transport)
            let deliveries = try await run.receive(4, from: members.0)
            transport.cutConnections()
            let again = try await run.receive(4, from: members.0)
            #expect(run.numbers(again) == [0, 1, 2, 3])
            // What was handed out before the cut can no longer be settled.
            try await members.0.settle(deliveries.map { .acknowledge($0.id) })
            #expect(try await transport.counts(of: group, on: [topic]).inHand == 4)
            try await members.0.settle(again.map { .acknowledge($0.id) })
            var published = false
            let deadline = run.time.monotonic() + .seconds(20)
            while !published, run.time.monotonic() < deadline {
                published = try await transport.publish(other.messages(0..<1))[0].error == nil
            }
            #expect(try await run.receive(1, from: members.1).count == 1)
            #expect(log.all(RabbitMQPartitionChanged.self).contains { $0.change == .lost })
            await members.0.close()
            await members.1.close()
            try await transport.removeGroup(group, from: [other.topic])
            try await run.clean(transport)
        }

        @Test(
            "What is published for a group that was added is there for its first member, a group that is not misses it")
        func addedGroup() async throws {
            let transport = try Broker.connect()
            try await transport.addGroup(group, to: [topic])
            try await run.publish(run.messages(0..<3), to: transport)
            let late = try await transport.subscribe(to: [topic], as: "late")
            let member = try await transport.subscribe(to: [topic], as: group)
            #expect(try await run.receive(3, from: member).count == 3)
            #expect(try await run.receive(1, from: late, within: .milliseconds(300)).isEmpty)
            await member.close()
            await late.close()
            try await transport.removeGroup("late", from: [topic])
            try await run.clean(transport)
        }

        @Test("A queue that is deleted under a member is made anew")
        func deletedQueue() async throws {
            let transport = try Broker.connect()
            let member = try await transport.subscribe(to: [topic], as: group)
            try await transport.removeGroup(group, from: [topic])
            try await run.time.sleep(for: .milliseconds(500))
            var published = false
            let deadline = run.time.monotonic() + .seconds(20)
            while !published, run.time.monotonic() < deadline {
                published = try await transport.publish(run.messages(0..<1))[0].error == nil
            }
            #expect(try await run.receive(1, from: member).count == 1)
            await member.close()
            try await run.clean(transport)
        }

        @Test("Members whose queue that counts them was deleted are counted again, by those that come later too")
        func deletedCountingQueue() async throws {
            let log = EventLog()
            let transport = try Broker.connect(runtime: Runtime(instrument: log))
            let elsewhere = try Broker.connect()
            let queue = try RabbitMQNames(topic: topic, partitions: 3).members(of: group)
            let first = try await transport.subscribe(to: [topic], as: group)
            let second = try await elsewhere.subscribe(to: [topic], as: group)
            #expect(try await transport.consumers(of: queue) == 2)
            try await transport.delete(queue)
            let areThere = try await run.waits { try await transport.consumers(of: queue) == 2 }
            #expect(areThere)
            #expect(log.all(RabbitMQTroubled.self).map(\.code) == ["cancelled"])
            let third = try await transport.subscribe(to: [topic], as: group)
            #expect(try await transport.consumers(of: queue) == 3)
            for member in [first, second, third] { await member.close() }
            await elsewhere.close()
            try await run.clean(transport)
        }

        // MARK: Sharing

        @Test("A member that comes later gets its share, once what is in hand is settled, and each key keeps its order")
        func sharing() async throws {
            let log = EventLog()
            let transport = try Broker.connect(
                topics: .onDemand(partitions: 4), handoverTime: .seconds(60), runtime: Runtime(instrument: log))
            let first = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(0..<80, key: { PartitionKey("\($0 % 40)") }), to: transport)
            let deliveries = try await run.receive(80, from: first)
            #expect(deliveries.count == 80)
            let elsewhere = try Broker.connect(topics: .onDemand(partitions: 4), handoverTime: .seconds(60))
            let second = try await elsewhere.subscribe(to: [topic], as: group)
            #expect(try await run.receive(1, from: second, within: .seconds(3)).isEmpty)
            try await first.settle(deliveries.map { .acknowledge($0.id) })
            try await run.time.sleep(for: .seconds(1))
            try await run.publish(run.messages(80..<160, key: { PartitionKey("\($0 % 40)") }), to: transport)
            var atSecond = 0
            var seen: [Int] = []
            let deadline = run.time.monotonic() + .seconds(30)
            while seen.count < 80, run.time.monotonic() < deadline {
                for member in [first, second] {
                    let deliveries = try await run.receive(40, from: member, within: .milliseconds(200))
                    seen += run.numbers(deliveries)
                    if member === second { atSecond += deliveries.count }
                    try await member.settle(deliveries.map { .acknowledge($0.id) })
                }
            }
            #expect(seen.sorted() == Array(80..<160))
            for key in 0..<40 {
                let own = seen.filter { $0 % 40 == key }
                #expect(own == own.sorted())
            }
            #expect(atSecond > 0)
            #expect(log.all(RabbitMQPartitionChanged.self).filter { $0.change == .revoked }.count == 2)
            await first.close()
            await second.close()
            await elsewhere.close()
            try await run.clean(transport)
        }

        @Test("What is not settled in time comes again at the other member, and can no longer be settled at the first")
        func handoverEnds() async throws {
            let transport = try Broker.connect(handoverTime: .milliseconds(300))
            let first = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(0..<30, key: { PartitionKey("\($0)") }), to: transport)
            let deliveries = try await run.receive(30, from: first)
            let second = try await transport.subscribe(to: [topic], as: group)
            let again = try await run.receive(1, from: second)
            #expect(!again.isEmpty)
            try await first.settle(deliveries.map { .acknowledge($0.id) })
            await second.close()
            #expect(try await !run.receive(1, from: first).isEmpty)
            await first.close()
            try await run.clean(transport)
        }

        // MARK: Back-pressure and delays

        @Test("A member reads no more than it may, and goes on once it settled some")
        func backPressure() async throws {
            let transport = try Broker.connect(topics: .onDemand(partitions: 2), prefetch: 20)
            let member = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(0..<500), to: transport)
            let first = try await run.receive(500, from: member, within: .seconds(1))
            #expect(first.count == 40)
            try await member.settle(first.map { .acknowledge($0.id) })
            let rest = try await run.drain(0..<500, from: member, alreadySeen: run.numbers(first))
            #expect(rest.count == 500)
            await member.close()
            try await run.waitForBacklog(0, transport)
            try await run.clean(transport)
        }

        @Test("A key that waits does not hold up the others of its partition")
        func waitingKey() async throws {
            let transport = try Broker.connect(topics: .onDemand(partitions: 1))
            let member = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(
                run.messages(0..<30, key: { $0 % 10 == 0 ? "slow" : PartitionKey("\($0)") }), to: transport)
            let first = try #require(try await run.receive(1, from: member).first)
            try await member.settle([.retry(first.id, after: .seconds(3))])
            let others = try await run.receive(27, from: member, within: .seconds(2))
            #expect(run.numbers(others).sorted() == (0..<30).filter { $0 % 10 != 0 })
            try await member.settle(others.map { .acknowledge($0.id) })
            let slow = try await run.receive(3, from: member)
            #expect(run.numbers(slow) == [0, 10, 20])
            await member.close()
            try await run.clean(transport)
        }

        @Test("Connections that have nothing to say are kept alive")
        func idle() async throws {
            let log = EventLog()
            let transport = try Broker.connect(heartbeat: .seconds(1), runtime: Runtime(instrument: log))
            let member = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(0..<1), to: transport)
            // The broker closes a connection of which it heard nothing for two seconds.
            try await run.time.sleep(for: .seconds(5))
            try await run.publish(run.messages(1..<2), to: transport)
            #expect(try await run.receive(2, from: member).count == 2)
            #expect(log.all(RabbitMQTroubled.self).isEmpty)
            await member.close()
            try await run.clean(transport)
        }

        @Test("A member that nobody holds any more leaves its group in order")
        func droppedMember() async throws {
            let transport = try Broker.connect()
            do {
                let member = try await transport.subscribe(to: [topic], as: group)
                try await run.publish(run.messages(0..<3, key: { _ in "a" }), to: transport)
                let deliveries = try await run.receive(2, from: member)
                try await member.settle(deliveries.map { .acknowledge($0.id) })
            }
            let heir = try await transport.subscribe(to: [topic], as: group)
            #expect(run.numbers(try await run.receive(2, from: heir, within: .seconds(2))) == [2])
            await heir.close()
            try await run.clean(transport)
        }
    }
#endif
