// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import Dovetail
    import Testing

    @testable import DovetailKafka

    /// Members of groups of a real broker.
    @Suite(.serialized, .disabled(if: Broker.isMissing, Broker.whyMissing), .timeLimit(.minutes(10)))
    struct KafkaSubscriptionTests {
        private let run = KafkaRun()
        private var topic: Topic { run.topic }
        private var group: ConsumerGroup { run.group }

        // MARK: Positions

        @Test("After a crash all from the first unsettled message on come again, and none before it")
        func contiguousCommit() async throws {
            // A member that comes back under its own name takes the place of its dead self.
            let transport = try Broker.connect(partitions: 1, instance: "member")
            try await run.publish(run.messages(0..<10), to: transport)
            let member = try await transport.subscribe(to: [topic], as: group)
            let deliveries = try await run.receive(10, from: member)
            #expect(run.numbers(deliveries) == Array(0..<10))
            try await member.settle(deliveries.reversed().filter { $0.envelope?.id != "3" }.map { .acknowledge($0.id) })
            try await run.waitForLag(7, transport)
            await member.abandon()

            let heir = try await transport.subscribe(to: [topic], as: group)
            let again = try await run.receive(7, from: heir)
            #expect(run.numbers(again) == Array(3..<10))
            try await heir.settle(again.map { .acknowledge($0.id) })
            await heir.close()
            try await run.waitForLag(0, transport)
            await transport.close()
        }

        @Test("Closing commits what was settled, whatever the interval, and lets others have the rest at once")
        func closeCommits() async throws {
            let transport = try Broker.connect(partitions: 1, commitInterval: .seconds(600))
            try await run.publish(run.messages(0..<6, key: { _ in "a" }), to: transport)
            let member = try await transport.subscribe(to: [topic], as: group)
            let deliveries = try await run.receive(4, from: member)
            try await member.settle(deliveries.prefix(3).map { .acknowledge($0.id) })
            await member.close()
            #expect(try await transport.lag(of: group, in: [topic]) == [topic: 3])
            let started = ContinuousClock.now
            let heir = try await transport.subscribe(to: [topic], as: group)
            #expect(run.numbers(try await run.receive(3, from: heir)) == [3, 4, 5])
            #expect(ContinuousClock.now - started < .seconds(5), "The group waited for a member that had left.")
            await heir.close()
            await transport.close()
        }

        @Test("A member that is closed hands out nothing, and what it settles then does nothing")
        func closedMember() async throws {
            let transport = try Broker.connect(partitions: 1)
            try await run.publish(run.messages(0..<2), to: transport)
            let member = try await transport.subscribe(to: [topic], as: group)
            let delivery = try #require(try await run.receive(1, from: member).first)
            await member.close()
            #expect(try await member.next(atMost: 1).isEmpty)
            try await member.settle([.acknowledge(delivery.id)])
            await member.close()
            #expect(try await transport.lag(of: group, in: [topic]) == [topic: 2])
            await transport.close()
        }

        @Test("A member that nobody holds any more leaves its group in order")
        func droppedMember() async throws {
            let transport = try Broker.connect(partitions: 1)
            try await run.publish(run.messages(0..<3), to: transport)
            do {
                let member = try await transport.subscribe(to: [topic], as: group)
                let deliveries = try await run.receive(2, from: member)
                try await member.settle(deliveries.map { .acknowledge($0.id) })
            }
            let heir = try await transport.subscribe(to: [topic], as: group)
            #expect(run.numbers(try await run.receive(1, from: heir)) == [2])
            await heir.close()
            await transport.close()
        }

        // MARK: Members that come and go

        @Test("A partition that goes to another member waits until what is in hand of it is settled")
        func handoverWaits() async throws {
            let log = EventLog()
            let transport = try Broker.connect(
                partitions: 4, handoverTime: .seconds(60), runtime: Runtime(instrument: log))
            let first = try await transport.subscribe(to: [topic], as: group)
            // Some of every partition.
            try await run.publish(run.messages(0..<40, key: { PartitionKey("\($0)") }), to: transport)
            let deliveries = try await run.receive(40, from: first)
            #expect(deliveries.count == 40)
            let second = try await transport.subscribe(to: [topic], as: group)
            #expect(try await run.receive(1, from: second, within: .seconds(2)).isEmpty)
            try await first.settle(deliveries.map { .acknowledge($0.id) })
            try await run.publish(run.messages(40..<80, key: { PartitionKey("\($0)") }), to: transport)
            // With eager members this broker refuses the positions with which they give partitions up; Kafka takes them.
            let isExact = KafkaMember.isCooperative
            var seen: [Int] = []
            var atSecond = 0
            while !Set(seen).isSuperset(of: 40..<80) {
                for member in [first, second] {
                    let deliveries = try await run.receive(40, from: member, within: .milliseconds(200))
                    seen += run.numbers(deliveries)
                    if member === second { atSecond += deliveries.count }
                    try await member.settle(deliveries.map { .acknowledge($0.id) })
                }
            }
            #expect(!isExact || seen.sorted() == Array(40..<80))
            #expect(atSecond > 0)
            // Only what moves is taken away, where librdkafka can do so.
            let revoked = log.all(KafkaPartitionsChanged.self).filter { $0.change == .revoked }
            #expect(revoked.reduce(0) { $0 + $1.count } == (KafkaMember.isCooperative ? 2 : 4))
            await first.close()
            await second.close()
            await transport.close()
        }

        @Test("What is not settled in time comes again at the other member, and can no longer be settled at the first")
        func handoverEnds() async throws {
            let transport = try Broker.connect(partitions: 2, handoverTime: .milliseconds(300))
            let first = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(0..<20, key: { PartitionKey("\($0)") }), to: transport)
            let deliveries = try await run.receive(20, from: first)
            let second = try await transport.subscribe(to: [topic], as: group)
            let again = try await run.receive(1, from: second)
            #expect(!again.isEmpty)
            try await first.settle(deliveries.map { .acknowledge($0.id) })
            await second.close()
            let left = again.compactMap(\.envelope?.id)
            // They are the first one's again, and come once more.
            let returned = try await run.receive(1, from: first)
            #expect(!returned.isEmpty)
            #expect(!left.isEmpty)
            await first.close()
            await transport.close()
        }

        // MARK: Members with a name

        /// Publishes messages and reads until all have come, and says which partitions each member had.
        private func partitions(
            _ numbers: Range<Int>, of run: KafkaRun, by transport: KafkaTransport, to members: KafkaSubscription...
        ) async throws -> [Set<Substring>] {
            try await run.publish(run.messages(numbers, key: { PartitionKey("\($0 % 40)") }), to: transport)
            var partitions = Array(repeating: Set<Substring>(), count: members.count)
            var seen: Set<Int> = []
            let deadline = run.time.monotonic() + .seconds(30)
            while !seen.isSuperset(of: numbers), run.time.monotonic() < deadline {
                for (index, member) in members.enumerated() {
                    let deliveries = try await run.receive(40, from: member, within: .milliseconds(200))
                    seen.formUnion(run.numbers(deliveries))
                    partitions[index].formUnion(deliveries.map { $0.position.prefix { $0 != "@" } })
                    try await member.settle(deliveries.map { .acknowledge($0.id) })
                }
            }
            return partitions
        }

        /// Has a process end and start again under its name in a group of two.
        ///
        /// - Returns: The partitions that both had before and afterwards, and how often those of the other one moved.
        private func restart(in run: KafkaRun) async throws -> (
            before: [Set<Substring>], after: [Set<Substring>], moves: Int
        ) {
            let log = EventLog()
            let restarting = try Broker.connect(partitions: 4, instance: "a")
            let staying = try Broker.connect(partitions: 4, instance: "b", runtime: Runtime(instrument: log))
            // The one that stays comes first, so that it most often leads.
            let other = try await staying.subscribe(to: [run.topic], as: run.group)
            _ = try await partitions(-40..<0, of: run, by: staying, to: other)
            let first = try await restarting.subscribe(to: [run.topic], as: run.group)
            // Until the group has come to rest with both.
            var before: [Set<Substring>] = [[], []]
            for start in stride(from: 0, to: 400, by: 40) where before.contains(where: \.isEmpty) {
                before = try await partitions(start..<start + 40, of: run, by: restarting, to: first, other)
            }
            let events = log.all(KafkaPartitionsChanged.self).count
            await first.close()
            await restarting.close()

            let again = try Broker.connect(partitions: 4, instance: "a")
            let heir = try await again.subscribe(to: [run.topic], as: run.group)
            let after = try await partitions(1000..<1040, of: run, by: again, to: heir, other)
            let moves = log.all(KafkaPartitionsChanged.self).count - events
            await heir.close()
            await other.close()
            await again.close()
            await staying.close()
            return (before, after, moves)
        }

        @Test("A process that starts again under its name has its partitions again, and none of the others' move")
        func instanceComesBack() async throws {
            // A leader that comes back has the test broker deal out anew, which Kafka does not, and who leads is its choice:
            // a few groups are tried, and in one the other member leads. A name that is not kept moves partitions in each.
            var (before, after, moves) = try await restart(in: KafkaRun())
            for _ in 1..<6 where moves > 0 { (before, after, moves) = try await restart(in: KafkaRun()) }
            #expect(after == before)
            #expect(moves == 0)
            #expect(before.allSatisfy { !$0.isEmpty })
        }

        @Test("Members of one transport have names of their own, and do not turn each other out")
        func instancesOfOneTransport() async throws {
            let transport = try Broker.connect(partitions: 4, instance: "a")
            let first = try await transport.subscribe(to: [topic], as: group)
            let second = try await transport.subscribe(to: [topic], as: group)
            for start in [0, 40] {
                _ = try await partitions(start..<start + 40, of: run, by: transport, to: first, second)
            }
            await first.close()
            await second.close()
            await transport.close()
        }

        // MARK: Back-pressure

        @Test("A member reads no more than it has room for, and goes on where it stopped", arguments: [1, 3])
        func backPressure(partitions: Int) async throws {
            let transport = try Broker.connect(partitions: partitions, mostUnsettled: 50)
            try await run.publish(run.messages(0..<1500), to: transport)
            let member = try await transport.subscribe(to: [topic], as: group)
            let first = try await run.receive(1500, from: member, within: .seconds(2))
            let most = partitions * 50 + 2 * 6
            #expect((50...most).contains(first.count), "\(first.count) messages were handed out.")
            try await member.settle(first.map { .acknowledge($0.id) })
            var seen = run.numbers(first)
            while seen.count < 1500 {
                let more = try await run.receive(min(40, 1500 - seen.count), from: member, within: .seconds(5))
                if more.isEmpty { break }
                seen += run.numbers(more)
                // Slower than the broker, so that the room is used up again and again.
                try await run.time.sleep(for: .milliseconds(seen.count < 600 ? 70 : 1))
                try await member.settle(more.map { .acknowledge($0.id) })
            }
            #expect(seen.count == 1500)
            #expect(Set(seen) == Set(0..<1500))
            await member.close()
            #expect(try await transport.lag(of: group, in: [topic]) == [topic: 0])
            await transport.close()
        }

        @Test("A key that waits does not hold up the others of its partition")
        func waitingKey() async throws {
            let transport = try Broker.connect(partitions: 1)
            try await run.publish(
                run.messages(0..<30, key: { $0 % 10 == 0 ? "slow" : PartitionKey("\($0)") }), to: transport)
            let member = try await transport.subscribe(to: [topic], as: group)
            let first = try #require(try await run.receive(1, from: member).first)
            try await member.settle([.retry(first.id, after: .seconds(3))])
            let others = try await run.receive(27, from: member, within: .seconds(2))
            #expect(run.numbers(others) == (0..<30).filter { $0 % 10 != 0 })
            try await member.settle(others.map { .acknowledge($0.id) })
            let slow = try await run.receive(3, from: member)
            #expect(run.numbers(slow) == [0, 10, 20])
            await member.close()
            await transport.close()
        }

        // MARK: What is no message

        @Test("Records of others reach the member, and none holds up its partition")
        func foreignRecords() async throws {
            let transport = try Broker.connect(partitions: 1)
            let structured = #"{"specversion":"1.0","id":"s","source":"/o","type":"x.y","data":1}"#
            let records = [
                KafkaRecord(key: Bytes("k".utf8), value: nil, headers: []),
                KafkaRecord(
                    key: nil, value: [0xFF, 0x00], headers: [.init(name: "a", value: "1"), .init(name: "a", value: "")]),
                KafkaRecord(key: [0x80], value: [], headers: []),
                KafkaRecord(
                    key: nil, value: Bytes(structured.utf8),
                    headers: [.init(name: "content-type", value: "application/cloudevents+json")]),
            ]
            for record in records { try await transport.publish(record, to: topic) }
            try await run.publish(run.messages(7..<8), to: transport)
            let member = try await transport.subscribe(to: [topic], as: group)
            let deliveries = try await run.receive(5, from: member)
            let kinds = deliveries.map { delivery in
                switch delivery.content {
                case .envelope(let envelope): envelope.id.rawValue
                case .undecodable(let bytes, let headers, _): "\(bytes) \(headers.map { "\($0.name)=\($0.value)" })"
                }
            }
            #expect(
                kinds == [
                    #"[] ["kafka_key=k"]"#, #"[255, 0] ["a=1", "a#2="]"#, #"[] ["kafka_key=data:;base64,gA=="]"#, "s",
                    "7",
                ])
            try await member.settle(deliveries.map { .acknowledge($0.id) })
            await member.close()
            #expect(try await transport.lag(of: group, in: [topic]) == [topic: 0])
            await transport.close()
        }

        // MARK: Topics

        @Test("A topic that is not there is an error, and is not made by asking for it")
        func unknownTopic() async throws {
            let transport = try KafkaTransport(Broker.address ?? "")
            for _ in 0..<2 {
                let results = try await transport.publish([
                    envelope("0", key: "a", topic: topic), envelope("1", key: "a", topic: topic),
                ])
                #expect(results[0].error?.code == .unknownTopic)
                #expect(results[0].error?.code.isTransient == false)
                #expect(results[1].error != nil)
                let error = await #expect(throws: TransportError.self) {
                    try await transport.subscribe(to: [topic], as: group)
                }
                #expect(error?.code == .unknownTopic)
                #expect(error?.message.contains(topic.rawValue) == true)
            }
            await transport.close()
        }

        @Test("A topic is created on demand, with as many partitions as asked for")
        func createdOnDemand() async throws {
            let transport = try Broker.connect(partitions: 5)
            async let one = transport.publish(run.messages(0..<1))
            async let two = transport.publish(run.messages(1..<2))
            #expect(try await (one + two).allSatisfy { $0.error == nil })
            let member = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(2..<202, key: { PartitionKey("\($0)") }), to: transport)
            let deliveries = try await run.receive(202, from: member)
            #expect(Set(deliveries.map { $0.position.prefix(1) }) == ["0", "1", "2", "3", "4"])
            await member.close()
            await transport.close()
        }

        @Test("Messages without a key are spread over the partitions")
        func keylessAreSpread() async throws {
            let transport = try Broker.connect(partitions: 3)
            let member = try await transport.subscribe(to: [topic], as: group)
            for number in 0..<60 {
                try await run.publish(run.messages(number..<number + 1), to: transport)
                try await run.time.sleep(for: .milliseconds(5))
            }
            let deliveries = try await run.receive(60, from: member)
            #expect(Set(deliveries.map { $0.position.prefix(1) }).count == 3)
            await member.close()
            await transport.close()
        }
    }
#endif
