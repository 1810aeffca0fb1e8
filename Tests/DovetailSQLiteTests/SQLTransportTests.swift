// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import Dovetail
    import DovetailSQLite
    import DovetailTesting
    import SQLTestSupport
    import Testing

    @testable import DovetailSQL

    /// The transport in the tables of a database, on SQLite.
    @Suite(.timeLimit(.minutes(10)))
    struct SQLTransportTests {
        private typealias Bus = SQLTransport<SQLiteConnectionPool>

        let folder: TemporaryFolder

        init() throws {
            folder = try TemporaryFolder()
        }

        private func bus(_ settings: SQLTransportSettings = SQLTransportSettings()) async throws -> Bus {
            SQLTransport(in: try await folder.opened(), settings: settings)
        }

        private func message(
            _ id: String, key: PartitionKey? = nil, topic: Topic = "orders"
        ) -> Envelope<Bytes> {
            var attributes = EnvelopeAttributes(
                id: MessageID(id), source: "/test", type: "test.message", topic: topic)
            attributes.partitionKey = key
            return Envelope(attributes, payload: Bytes(id.utf8))
        }

        private func publish(
            _ messages: [Envelope<Bytes>], on bus: SQLTransport<some SQLConnectionPool>
        ) async throws {
            for result in try await bus.publish(messages) { #expect(result.error == nil) }
        }

        private func ids(_ deliveries: [Delivery]) -> [String] {
            deliveries.map { $0.envelope?.attributes.id.rawValue ?? "undecodable" }
        }

        @Test("SQLite: the transport in a database conforms", arguments: TransportCheck.allCases)
        func conforms(_ check: TransportCheck) async throws {
            let bus = try await bus(SQLTransportSettings(lease: .seconds(5), pollInterval: .milliseconds(10)))
            try await check.run(
                on: bus, patience: TransportCheck.Patience(arrival: .seconds(40), silence: .milliseconds(200)))
        }

        @Test("What a member that ended had in hand goes to another when its lease has run out, and not before")
        func theLeaseOfALostMember() async throws {
            let (bus, time) = try await busOnVirtualTime()
            let lost = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish([message("1", key: "a"), message("2", key: "a"), message("3", key: "b")], on: bus)
            #expect(ids(try await lost.next(atMost: 2)) == ["1", "3"])
            let heir = try await bus.subscribe(to: ["orders"], as: "payments")
            time.advance(by: .seconds(29))
            #expect(try await heir.claim(atMost: 10).deliveries.isEmpty)
            time.advance(by: .seconds(2))
            let taken = try await heir.claim(atMost: 10).deliveries
            #expect(Set(ids(taken)) == ["1", "2", "3"])
            #expect(taken.map(\.attempt) == [2, 1, 2])
            // The first member was only slow: what it says counts no longer.
            try await lost.settle([Settlement(Delivery.ID(number: 1), .acknowledge)])
            #expect(try await bus.backlog(of: "payments", on: ["orders"]) == 3)
        }

        @Test("A member that goes on asking keeps what it has in hand")
        func askingRenewsTheLease() async throws {
            let (bus, time) = try await busOnVirtualTime()
            let slow = try await bus.subscribe(to: ["orders"], as: "payments")
            let other = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish([message("1", key: "a")], on: bus)
            let taken = try await slow.next(atMost: 1)
            for _ in 0..<4 {
                time.advance(by: .seconds(20))
                #expect(try await slow.claim(atMost: 1).deliveries.isEmpty)
                #expect(try await other.claim(atMost: 1).deliveries.isEmpty)
            }
            try await slow.settle(taken.map { .acknowledge($0.id) })
            #expect(try await bus.backlog(of: "payments", on: ["orders"]) == 0)
        }

        @Test(
            "What was claimed in a transaction whose answer was lost is free when its lease has run out, for any member",
            arguments: [true, false])
        func aClaimWithoutAnAnswer(isForAnother: Bool) async throws {
            let time = VirtualTime()
            let runtime = Runtime(time: time)
            let file = folder.database(settings: SQLSettings(runtime: runtime))
            let isLost = Shared(false)
            let pool = ObservedPool(file.pool) { statement, outcome in
                guard isLost.value, statement.text == "COMMIT" else { return outcome }
                return .failure(DatabaseError(.unavailable, "The answer is lost. Try again."))
            }
            let bus = SQLTransport(
                in: SQLDatabase(pool, settings: SQLSettings(runtime: runtime)),
                settings: SQLTransportSettings(lease: .seconds(30), runtime: runtime))
            let member = try await bus.subscribe(to: ["orders"], as: "payments")
            let other = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish([message("1", key: "a")], on: bus)
            let taken = try await member.next(atMost: 1)
            try await publish([message("2", key: "b")], on: bus)
            isLost.change { $0 = true }
            let error = await #expect(throws: TransportError.self) { try await member.next(atMost: 10) }
            #expect(error?.code == .unavailable)
            isLost.change { $0 = false }
            time.advance(by: .seconds(20))
            // What is in hand is kept by asking, and nothing else is; nobody asks again before there is something.
            let early = try await member.claim(atMost: 10)
            #expect(early.deliveries.isEmpty && early.nextDue == .seconds(10))
            #expect(try await other.claim(atMost: 10).deliveries.isEmpty)
            time.advance(by: .seconds(11))
            let found = try await (isForAnother ? other : member).claim(atMost: 10).deliveries
            #expect(ids(found) == ["2"] && found.map(\.attempt) == [2])
            try await member.settle(taken.map { .acknowledge($0.id) })
            try await (isForAnother ? other : member).settle(found.map { .acknowledge($0.id) })
            #expect(try await bus.backlog(of: "payments", on: ["orders"]) == 0)
        }

        @Test("A clock that is set forward has nobody handed again what he has in hand")
        func theClockIsSetForward() async throws {
            let (bus, time) = try await busOnVirtualTime()
            let member = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish([message("1", key: "a"), message("2", key: "a")], on: bus)
            let taken = try await member.next(atMost: 1)
            time.setClock(by: .seconds(60))
            #expect(try await member.claim(atMost: 10).deliveries.isEmpty)
            try await member.settle(taken.map { .acknowledge($0.id) })
            #expect(ids(try await member.claim(atMost: 10).deliveries) == ["2"])
        }

        @Test("A lane is free again when the last of its messages in hand is settled, in whatever calls")
        func settlingSideBySideFreesTheLane() async throws {
            let bus = try await bus()
            let member = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish((1...40).map { message("\($0)", key: "a") }, on: bus)
            let taken = try await member.next(atMost: 20)
            #expect(taken.count == 20)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for delivery in taken { group.addTask { try await member.settle([.acknowledge(delivery.id)]) } }
                try await group.waitForAll()
            }
            #expect(ids(try await member.claim(atMost: 20).deliveries) == (21...40).map(String.init))
        }

        @Test("What was claimed while the member left goes to another at once")
        func aClaimWhileLeaving() async throws {
            let bus = try await bus()
            let leaving = try await bus.subscribe(to: ["orders"], as: "payments")
            let other = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish([message("1", key: "a"), message("2")], on: bus)
            await leaving.close()
            #expect(try await leaving.claim(atMost: 10).deliveries.isEmpty)
            #expect(Set(ids(try await other.claim(atMost: 10).deliveries)) == ["1", "2"])
        }

        @Test("A group that comes back is handed what it has not read, and nothing again")
        func aReturningGroup() async throws {
            let bus = try await bus()
            let member = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish([message("1", key: "a"), message("2", key: "a")], on: bus)
            try await member.settle(try await member.next(atMost: 1).map { .acknowledge($0.id) })
            await member.close()
            let again = try await bus.subscribe(to: ["orders"], as: "payments")
            #expect(ids(try await again.claim(atMost: 10).deliveries) == ["2"])
        }

        @Test("What a member that leaves had in hand goes to another at once, not when its lease has run out")
        func leavingGivesBack() async throws {
            let (bus, _) = try await busOnVirtualTime()
            let leaving = try await bus.subscribe(to: ["orders"], as: "payments")
            let other = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish([message("1", key: "a"), message("2", key: "a")], on: bus)
            #expect(ids(try await leaving.next(atMost: 1)) == ["1"])
            await leaving.close()
            #expect(ids(try await other.claim(atMost: 10).deliveries) == ["1", "2"])
        }

        @Test("Behind a message that has to wait, the others of its key wait too, also if one before it comes again")
        func waitingHoldsBackItsFollowers() async throws {
            let (bus, time) = try await busOnVirtualTime()
            let member = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish((1...3).map { message("\($0)", key: "a") }, on: bus)
            let taken = try await member.next(atMost: 2)
            #expect(ids(taken) == ["1", "2"])
            try await member.settle([
                Settlement(taken[0].id, .retry(after: .zero)), Settlement(taken[1].id, .retry(after: .seconds(10))),
            ])
            let again = try await member.claim(atMost: 10).deliveries
            #expect(ids(again) == ["1"])
            try await member.settle(again.map { .acknowledge($0.id) })
            #expect(try await member.claim(atMost: 10).deliveries.isEmpty)
            time.advance(by: .seconds(11))
            #expect(ids(try await member.claim(atMost: 10).deliveries) == ["2", "3"])
        }

        @Test("Messages survive the program, and reach one that opens the file later")
        func messagesSurvive() async throws {
            let path = folder.file("bus.db")
            let first = SQLiteDatabase(path)
            try await publish([message("1"), message("2", key: "a")], on: SQLTransport(in: first))
            await first.close()
            let second = SQLTransport(in: SQLiteDatabase(path))
            let member = try await second.subscribe(to: ["orders"], as: "late")
            #expect(Set(ids(try await member.next(atMost: 10))) == ["1", "2"])
        }

        @Test("A member is handed what another program publishes")
        func anotherProgramPublishes() async throws {
            let path = folder.file("bus.db")
            let here = SQLTransport(
                in: SQLiteDatabase(path), settings: SQLTransportSettings(pollInterval: .milliseconds(5)))
            let there = SQLTransport(in: SQLiteDatabase(path))
            let member = try await here.subscribe(to: ["orders"], as: "payments")
            async let arrived = member.next(atMost: 1)
            try await publish([message("1")], on: there)
            #expect(ids(try await arrived) == ["1"])
        }

        @Test("The sweep forgets old messages that every group has read, and no others")
        func theSweepKeepsWhatIsUnread() async throws {
            let (bus, time) = try await busOnVirtualTime()
            let quick = try await bus.subscribe(to: ["orders"], as: "quick")
            let slow = try await bus.subscribe(to: ["orders"], as: "slow")
            try await publish([message("1"), message("2")], on: bus)
            let taken = try await quick.next(atMost: 2)
            try await quick.settle(taken.map { .acknowledge($0.id) })
            time.advance(by: .seconds(100))
            #expect(try await bus.sweep(olderThan: .seconds(50), limit: 10) == 0)
            let first = try await slow.next(atMost: 1)
            try await slow.settle(first.map { .acknowledge($0.id) })
            #expect(try await bus.sweep(olderThan: .seconds(200), limit: 10) == 0)
            #expect(try await bus.sweep(olderThan: .seconds(50), limit: 10) == 1)
            let late = try await bus.subscribe(to: ["orders"], as: "late")
            #expect(ids(try await late.claim(atMost: 10).deliveries) == ["2"])
        }

        @Test("A group that is forgotten holds nothing back, and starts afresh if it joins again")
        func aForgottenGroup() async throws {
            let bus = try await bus()
            let member = try await bus.subscribe(to: ["orders"], as: "payments")
            try await publish([message("1"), message("2")], on: bus)
            let taken = try await member.next(atMost: 1)
            try await member.settle(taken.map { .acknowledge($0.id) })
            await member.close()
            try await bus.forget("payments")
            #expect(try await bus.sweep(olderThan: .zero - .seconds(60), limit: 10) == 2)
            try await publish([message("3")], on: bus)
            let again = try await bus.subscribe(to: ["orders"], as: "payments")
            #expect(ids(try await again.next(atMost: 10)) == ["3"])
        }

        @Test("What a transaction could not store is not published, and followers were not attempted")
        func aFailedPublish() async throws {
            let database = try await folder.opened()
            let bus = SQLTransport(in: database)
            await database.close()
            let results = try await bus.publish([
                message("1", key: "a"), message("2", key: "a"), message("3", key: "b"),
            ])
            #expect(results.map { $0.error?.code } == [.unavailable, .notAttempted, .unavailable])
        }

        @Test("What every claim asks is found by an index")
        func claimsUseTheirIndexes() async throws {
            let bus = try await bus()
            let member = try await bus.subscribe(to: ["orders", "refunds"], as: "payments")
            for query in [member.lanesQuery(atMost: 10, now: 1), member.firstRows(of: SQL.list([1, 2]), most: 5)] {
                let plan = try await bus.database.withReadTransaction { tx in
                    try await tx.query("EXPLAIN QUERY PLAN \(query)").map { try $0.text("detail") }
                }
                // Only what was chosen by an index before is scanned.
                let scans = plan.filter { $0.hasPrefix("SCAN") && !$0.contains("available") && !$0.hasPrefix("SCAN t") }
                #expect(scans.isEmpty, "\(plan)")
            }
        }

        @Test("A row that is no message reaches the member with its bytes")
        func aForeignRow() async throws {
            let bus = try await bus()
            let member = try await bus.subscribe(to: ["orders"], as: "payments")
            try await bus.storeForeign(Bytes("hello".utf8), in: "orders")
            let taken = try await member.next(atMost: 1)
            guard case .undecodable(let bytes, _, _) = taken.first?.content else {
                Issue.record("It came as a message.")
                return
            }
            #expect(bytes == Bytes("hello".utf8))
        }

        private func busOnVirtualTime() async throws -> (Bus, VirtualTime) {
            let time = VirtualTime()
            let runtime = Runtime(time: time)
            let database = folder.database(settings: SQLSettings(runtime: runtime))
            try await database.open()
            let settings = SQLTransportSettings(lease: .seconds(30), runtime: runtime)
            return (SQLTransport(in: database, settings: settings), time)
        }
    }

    extension SQLTransport {
        /// Stores a row without attributes, as a program that does not know the form might.
        fileprivate func storeForeign(_ bytes: Bytes, in topic: Topic) async throws {
            try await database.withTransaction { tx in
                try await tx.execute(
                    """
                    INSERT INTO \(raw: tables.busMessages) (topic, lane, published_at, payload)
                    VALUES (\(topic.rawValue), \(Runtime.current.makeUUID().description), 1, \(bytes))
                    """)
                let chosen: SQL = "m.id = (SELECT MAX(id) FROM \(raw: tables.busMessages))"
                try await tx.execute(laneInsertion(for: chosen))
                try await tx.execute(deliveryInsertion(for: chosen))
            }
        }
    }
#endif
