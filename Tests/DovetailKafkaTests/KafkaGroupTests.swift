// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import Dovetail
    import DovetailTesting
    import Synchronization
    import Testing

    @testable import DovetailKafka

    /// Groups of a cluster within the process, which deals with dead members and with generations as Kafka does.
    @Suite(.serialized, .timeLimit(.minutes(10)))
    struct KafkaGroupTests {
        private let run = KafkaRun()
        private var topic: Topic { run.topic }
        private var group: ConsumerGroup { run.group }

        /// What members together have in hand and have handled.
        private final class Book: Sendable {
            private struct State: Sendable {
                var inHand: Set<Int> = []
                var handled: [Int] = []
                var distinct: Set<Int> = []
                var heldTwice: [Int] = []
            }

            private let state = Mutex(State())

            /// How many were handled, each counted once.
            var count: Int { state.withLock { $0.distinct.count } }
            var handled: [Int] { state.withLock { $0.handled } }
            var heldTwice: [Int] { state.withLock { $0.heldTwice } }

            func take(_ numbers: [Int]) {
                state.withLock { state in
                    for number in numbers where !state.inHand.insert(number).inserted { state.heldTwice.append(number) }
                }
            }

            func handle(_ numbers: [Int]) {
                state.withLock { state in
                    state.inHand.subtract(numbers)
                    state.handled += numbers
                    state.distinct.formUnion(numbers)
                }
            }
        }

        /// Those about who has what; each takes some seconds here, since the cluster waits for members before it deals out.
        private static let checks: [TransportCheck] = [
            .oneMemberHasIt, .orderSurvivesRetries, .keyStaysWithOneMember, .settledDoesNotComeAgain,
            .unsettledGoesToNextMember, .closedMemberReceivesNothing,
        ]

        @Test("While positions are committed all the time, the Kafka transport conforms", arguments: checks)
        func conforms(_ check: TransportCheck) async throws {
            let cluster = try MockCluster(topics: [:])
            // It makes topics when it is asked about them, if the one who asks agrees.
            let transport = try cluster.connect(options: ["allow.auto.create.topics": "true"])
            try await check.run(
                on: transport, patience: TransportCheck.Patience(arrival: .seconds(60), silence: .milliseconds(300)))
            await transport.close()
        }

        @Test("A member that dies without a word is taken over when the group finds out")
        func takeOver() async throws {
            let cluster = try MockCluster(topics: [topic.rawValue: 2])
            let transport = try cluster.connect()
            let dying = try await transport.subscribe(to: [topic], as: group)
            let staying = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(0..<40, key: { PartitionKey("\($0 % 8)") }), to: transport)
            _ = try await run.receive(1, from: dying)
            await dying.abandon()
            var seen: Set<Int> = []
            while seen.count < 40 {
                let deliveries = try await run.receive(1, from: staying)
                try #require(!deliveries.isEmpty, "\(40 - seen.count) messages did not come.")
                seen.formUnion(run.numbers(deliveries))
                try await staying.settle(deliveries.map { .acknowledge($0.id) })
            }
            await staying.close()
            await transport.close()
        }

        @Test("What was settled is committed by a member that goes, also when it takes several tries")
        func lastCommitIsTriedAgain() async throws {
            let cluster = try MockCluster(topics: [topic.rawValue: 1])
            let transport = try cluster.connect()
            try await run.publish(run.messages(0..<6), to: transport)
            let going = try await transport.subscribe(to: [topic], as: group)
            let deliveries = try await run.receive(4, from: going)
            // One may hit the commit that is under way when the member goes, the other one the next.
            cluster.fail(MockCluster.commit, with: [RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, RD_KAFKA_RESP_ERR_UNKNOWN])
            try await going.settle(deliveries.map { .acknowledge($0.id) })
            await going.close()
            let heir = try await transport.subscribe(to: [topic], as: group)
            #expect(run.numbers(try await run.receive(2, from: heir)) == [4, 5])
            await heir.close()
            await transport.close()
        }

        @Test("A member that joins is handed nothing of a partition while the one before has messages of it in hand")
        func handoverWaits() async throws {
            let cluster = try MockCluster(topics: [topic.rawValue: 2])
            let transport = try cluster.connect()
            let first = try await transport.subscribe(to: [topic], as: group)
            try await run.publish(run.messages(0..<20, key: { PartitionKey("\($0)") }), to: transport)
            let inHand = try await run.receive(20, from: first)
            #expect(inHand.count == 20)
            let second = try await transport.subscribe(to: [topic], as: group)
            #expect(try await run.receive(1, from: second, within: .seconds(10)).isEmpty)
            try await first.settle(inHand.map { .acknowledge($0.id) })
            try await run.publish(run.messages(20..<40, key: { PartitionKey("\($0)") }), to: transport)
            var seen: Set<Int> = []
            var atSecond = 0
            while !seen.isSuperset(of: 20..<40) {
                for member in [first, second] {
                    let deliveries = try await run.receive(20, from: member, within: .milliseconds(200))
                    seen.formUnion(run.numbers(deliveries))
                    if member === second { atSecond += deliveries.count }
                    try await member.settle(deliveries.map { .acknowledge($0.id) })
                }
            }
            #expect(atSecond > 0)
            await first.close()
            await second.close()
            await transport.close()
        }

        @Test(
            "While members come and go in order, each message is in one hand at a time, and each key is handled in order"
        )
        func comingAndGoing() async throws {
            let cluster = try MockCluster(topics: [topic.rawValue: 6])
            let transport = try cluster.connect()
            let count = 600
            let book = Book()
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask {
                    for start in stride(from: 0, to: count, by: 20) {
                        try await run.publish(
                            run.messages(start..<start + 20, key: { PartitionKey("\($0 % 20)") }), to: transport)
                        try await run.time.sleep(for: .milliseconds(50))
                    }
                }
                // One stays, three come later, and two of those leave early.
                for (start, end) in [(0, count), (100, 300), (200, 400), (300, count)] {
                    tasks.addTask {
                        while book.count < start { try await run.time.sleep(for: .milliseconds(10)) }
                        let member = try await transport.subscribe(to: [topic], as: group)
                        while book.count < end {
                            let deliveries = try await run.receive(7, from: member, within: .milliseconds(100))
                            book.take(run.numbers(deliveries))
                            for delivery in deliveries {
                                try await run.time.sleep(for: .milliseconds(1))
                                book.handle(run.numbers([delivery]))
                                try await member.settle([.acknowledge(delivery.id)])
                            }
                        }
                        await member.close()
                    }
                }
                try await tasks.waitForAll()
            }
            let order = book.handled
            #expect(book.heldTwice.isEmpty)
            #expect(Set(order) == Set(0..<count))
            // This cluster, unlike Kafka, takes no positions while members are asked to join anew; with eager members that is
            // when partitions are given up, and then what was settled comes again.
            if KafkaMember.isCooperative {
                #expect(order.count == count, "\(order.count - Set(order).count) messages were handled again.")
            }
            for key in 0..<20 {
                var seen: Set<Int> = []
                let own = order.filter { $0 % 20 == key && seen.insert($0).inserted }
                #expect(own == own.sorted())
            }
            await transport.close()
        }
    }
#endif
