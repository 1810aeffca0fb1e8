// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailDeadLetters
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct RedriveFailureTests {
    private func redriver(
        _ world: TestWorld, to transport: ScriptedTransport
    ) -> Redriver<InMemoryDatabase, ScriptedTransport> {
        Redriver(world.letters, to: transport)
    }

    // MARK: The transport

    @Test func aLetterStaysUntilItsPublicationIsConfirmed() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture((0..<10).map { letter("\($0)") })
            let counts = Log<Int>()
            // The fourth is not taken for a while, and the last answer is missing.
            let transport = ScriptedTransport(world.bus) { id, call in
                id == "message 3" && call < 3 ? TransportError(.unavailable, "Not now.") : nil
            }
            let job = try await world.letters.redrive(RedriveRequest())
            let done = try await redriver(world, to: transport).run(job.id) { counts.add($0.redriven) }
            #expect(done.state == .completed && done.redriven == 10 && done.passedOver == 0)
            #expect(counts.all.prefix(2) == [9, 9])
            #expect(world.stored.sorted() == (0..<10).map { "message \($0)" })
            #expect(transport.calls.all.map(\.count) == [10, 1, 1, 1])
            #expect(done.problem.contains("Not now"))
        }
    }

    @Test func aTransportThatGivesTooFewAnswersHasNotConfirmedTheOthers() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture((0..<3).map { letter("\($0)") })
            let transport = ScriptedTransport(world.bus, isShort: true)
            let job = try await world.letters.redrive(RedriveRequest())
            let redriver = redriver(world, to: transport).retrying(.constant(.seconds(1), attempts: 3))
            let done = try await redriver.run(job.id)
            // The last one of a call is never confirmed, so one stays in the end.
            #expect(done.state == .stopped && done.redriven == 2)
            #expect(try await world.letters.count() == 1)
        }
    }

    @Test func aRedriveStopsWhenTheTransportTakesNothingAndGoesOnWhenResumed() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture((0..<10).map { letter("\($0)") })
            let down = ScriptedTransport(world.bus) { _, _ in TransportError(.unavailable, "Down.") }
            let job = try await world.letters.redrive(RedriveRequest())
            let start = world.time.monotonic()
            let stopped = try await redriver(world, to: down).retrying(.constant(.seconds(60), attempts: 4)).run(job.id)
            #expect(stopped.state == .stopped && stopped.redriven == 0 && stopped.problem.contains("Down."))
            #expect(down.calls.all.count == 4)
            #expect(world.time.monotonic() - start == .seconds(180))
            #expect(try await world.letters.count() == 10)
            try await world.letters.resumeRedrive(job.id)
            let up = ScriptedTransport(world.bus)
            let done = try await redriver(world, to: up).run(job.id)
            #expect(done.state == .completed && done.redriven == 10 && done.problem.isEmpty)
        }
    }

    @Test func whatTheTransportWillNeverTakeIsPassedOverAndStays() async throws {
        let world = TestWorld()
        try await world.run {
            let bytes = Delivery.Content.undecodable([1], headers: [:], MessageError(.invalidCloudEvent, "No."))
            let undecodable = DeadLetter(
                id: "bytes", content: bytes, topic: "t", position: "1", consumer: "c", attempts: 0,
                reason: .schemaMismatch,
                failure: FailureDetail(type: "E", message: ""), time: .epoch)
            try await world.letters.capture([letter("0"), undecodable] + (1..<6).map { letter("\($0)") })
            let transport = ScriptedTransport(world.bus) { id, _ in
                id == "message 2" ? TransportError(.messageTooLarge, "Too large.") : nil
            }
            let job = try await world.letters.redrive(RedriveRequest(batchSize: 2))
            let done = try await redriver(world, to: transport).run(job.id)
            #expect(done.state == .completed && done.redriven == 5 && done.passedOver == 2)
            #expect(try await world.letters.list().map(\.id) == ["bytes", "2"])
        }
    }

    @Test func whatAMessageSaysOfItsFailureIsLeftOutBeforeItIsTooMuchForTheTransport() async throws {
        let world = TestWorld()
        try await world.run {
            for (number, most) in [nil, 2000, 200].enumerated() {
                try await world.letters.capture([letter("\(number)")])
                let job = try await world.letters.redrive(RedriveRequest())
                let transport = ScriptedTransport(world.bus, mostHeaderBytes: most)
                try await redriver(world, to: transport).run(job.id)
            }
            let headers = world.published().map(\.attributes.headers)
            #expect(headers.map { $0["Dovetail-Dead-Failure"] != nil } == [true, true, false])
            #expect(headers.map { $0["Dovetail-Redrives"] } == ["1", "1", "1"])
        }
    }

    @Test func messagesOfAKeyAreSentInTheirOrderWhateverFails() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture((0..<60).map { letter("\($0)", key: "key \($0 % 3)") })
            let transport = ScriptedTransport(world.bus) { id, call in
                // Every call something else of it fails.
                (id.rawValue.utf8.last.map { Int($0) } ?? 0) % 5 == call % 5 && call < 12
                    ? TransportError(.timedOut, "Not in time.") : nil
            }
            let job = try await world.letters.redrive(RedriveRequest(batchSize: 20))
            let done = try await redriver(world, to: transport).run(job.id)
            #expect(done.state == .completed && done.redriven == 60)
            for key in 0..<3 {
                let own = world.published().filter { $0.attributes.partitionKey == PartitionKey("key \(key)") }
                #expect(own.map(\.attributes.id.rawValue) == (0..<20).map { "message \($0 * 3 + key)" })
            }
            #expect(transport.calls.all.count > 3)
        }
    }

    @Test func whatWasOfUseUntilATimeIsSentWithoutItIfAsked() async throws {
        let world = TestWorld()
        try await world.run {
            let old = world.time.now()
            for (number, drops) in [false, true].enumerated() {
                try await world.letters.capture([letter("\(number)", expiry: old)])
                let job = try await world.letters.redrive(RedriveRequest(dropsExpiry: drops))
                try await redriver(world, to: ScriptedTransport(world.bus)).run(job.id)
            }
            #expect(world.published().map(\.attributes.expiry) == [old, nil])
        }
    }

    @Test func aRedriveThatIsCancelledByItsTaskGoesOnElsewhereAtOnce() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture((0..<100).map { letter("\($0)") })
            let job = try await world.letters.redrive(RedriveRequest(lettersPerSecond: 10))
            let redriver = redriver(world, to: ScriptedTransport(world.bus))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await redriver.run(job.id) }
                group.addTask { try await Runtime.current.time.sleep(for: .seconds(3)) }
                try await group.next()
                group.cancelAll()
            }
            #expect(try await world.letters.redriveJob(job.id).state == .running)
            let done = try await redriver.run(job.id)
            #expect(done.state == .completed)
            #expect(Set(world.stored).count == 100)
        }
    }

    @Test func aRunThatWasNotHeardOfForTooLongWritesNothingMore() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture((0..<10).map { letter("\($0)") })
            let job = try await world.letters.redrive(RedriveRequest())
            // It takes longer to publish than its lease lasts, and another one takes over meanwhile.
            let slow = redriver(world, to: ScriptedTransport(world.bus, delay: .seconds(60))).looking(
                lease: .seconds(10))
            async let late = slow.run(job.id)
            try await world.time.sleep(for: .seconds(20))
            let done = try await redriver(world, to: ScriptedTransport(world.bus)).run(job.id)
            #expect(done.state == .completed && done.redriven == 10)
            // It learns that the redrive is over, and has counted nothing twice.
            #expect(try await late == done)
            #expect(try await world.letters.history(of: "message 3").count == 1)
        }
    }

    // MARK: Crashes

    @Test(
        "A redrive that is killed again and again sends every message, under its own identity",
        arguments: .simulated(
            seeds: 40, faults: TransportFaults(publishFails: 0.1),
            crashes: CrashPlan(atEffects: 0.1, downtime: .zero ... .seconds(2), most: 30)))
    func crashes(world: TestWorld) async throws {
        let letters = DeadLetterQueue(in: world.database(named: "redriver"))
        world.add("redriver") { node in
            Redriver(DeadLetterQueue(in: node.database), to: node.bus).looking(every: .seconds(1), lease: .seconds(5))
        }
        try await world.run {
            try await letters.capture((0..<300).map { letter("\($0)", key: "\($0 % 7)") })
            let job = try await letters.redrive(RedriveRequest(canary: 3, canaryWait: .seconds(1), batchSize: 10))
            var state = RedriveState.waiting
            for _ in 0..<2000 where state.isActive {
                try await world.advance(by: .seconds(1))
                state = try await letters.redriveJob(job.id).state
            }
            let done = try await letters.redriveJob(job.id)
            #expect(done.state == .completed && done.redriven == 300)
            #expect(try await letters.count() == 0)
            #expect(Set(world.stored) == Set((0..<300).map { "message \($0)" }))
            // Repeats are those of batches that were under way.
            #expect(world.stored.count <= 300 + 10 * 40 + 30)
            #expect(try await letters.history(of: "message 299").count == 1)
        }
        #expect(world.world.incarnations(of: "redriver") > 1)
    }

    // MARK: Editing

    @Test func anEditedLetterIsANewMessageThatNamesTheOldOne() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture([letter("1")])
            let redriver = redriver(world, to: ScriptedTransport(world.bus))
            let id = try await redriver.resend("1", note: "wrong currency") { $0.payload = Bytes("mended".utf8) }
            #expect(id != "message 1")
            let sent = try #require(world.published().first)
            #expect(sent.attributes.id == id && sent.payload == Bytes("mended".utf8))
            #expect(sent.attributes.causationID == "message 1")
            #expect(sent.attributes.correlationID == "conversation")
            #expect(try await world.letters.count() == 0)
            let record = try #require(try await world.letters.history(of: "message 1").first)
            #expect(record.removal.exit == .edited && record.removal.note == "as \(id): wrong currency")
            let error = await #expect(throws: DeadLetterError.self) {
                try await redriver.resend("1", note: "") { _ in }
            }
            #expect(error?.code == .noSuchLetter)
        }
    }

    @Test func anEditThatIsNotTakenLeavesTheLetterAndHasTheSameIdentityNextTime() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture([letter("1")])
            let transport = ScriptedTransport(world.bus) { _, call in call == 0 ? TransportError(.timedOut, "") : nil }
            let redriver = redriver(world, to: transport)
            let error = await #expect(throws: DeadLetterError.self) {
                try await redriver.resend("1", note: "") { $0.payload = [1] }
            }
            #expect(error?.code == .publishFailed)
            #expect(try await world.letters.count() == 1)
            try await redriver.resend("1", note: "") { $0.payload = [1] }
            #expect(Set(transport.calls.all.flatMap(\.self)).count == 1)
        }
    }

    @Test func bytesThatAreNoMessageBecomeOneWhenEdited() async throws {
        let world = TestWorld()
        try await world.run {
            let bytes = Delivery.Content.undecodable([7], headers: [:], MessageError(.invalidCloudEvent, "No."))
            let undecodable = DeadLetter(
                id: "bytes", content: bytes, topic: "t", position: "1", consumer: "c", attempts: 0,
                reason: .schemaMismatch,
                failure: FailureDetail(type: "E", message: ""), time: .epoch)
            try await world.letters.capture([undecodable])
            let redriver = redriver(world, to: ScriptedTransport(world.bus))
            let error = await #expect(throws: DeadLetterError.self) {
                try await redriver.resend("bytes", note: "") { _ in }
            }
            #expect(error?.code == .notRedrivable)
            try await redriver.resend("bytes", note: "") { $0.attributes.type = "shop.order.placed" }
            #expect(world.published().map(\.payload) == [[7]])
            #expect(world.published().map(\.attributes.topic) == ["t"])
        }
    }

    // MARK: Order per key

    @Test func aLetterGoesBackBeforeThoseThatWereParkedBehindIt() async throws {
        let world = TestWorld()
        let handled = Log<Int>()
        let isMended = Log<Bool>()
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in
                if order.number == 1, isMended.all.isEmpty { throw Declined() }
                handled.add(order.number)
            }
        }
        .waiting(in: world.database)
        .deadLettering(to: world.letters, parkingFollowers: true)
        let other = Consumer("shipping", on: world.bus) {
            On(OrderPlaced.self) { order, _ in handled.add(100 + order.number) }
        }
        try await world.run(consumer, other) {
            for number in 1...4 { try await world.deliver(OrderPlaced(number: number, key: "a")) }
            try await world.untilQuiet()
            #expect(handled.all.filter { $0 < 100 }.isEmpty)
            isMended.add(true)
            let job = try await world.letters.redrive(RedriveRequest())
            let redriver = redriver(world, to: ScriptedTransport(world.bus)).throughWaitingRoom(of: "payments")
            #expect(try await redriver.run(job.id).redriven == 1)
            try await world.untilQuiet()
            #expect(handled.all.filter { $0 < 100 } == [1, 2, 3, 4])
            // It reaches nobody else.
            #expect(handled.all.filter { $0 > 100 }.sorted() == [101, 102, 103, 104])
            #expect(try await world.letters.count() == 0)
            #expect(try await WaitingRoom(in: world.database).statistics(of: "payments").blockedLanes == 0)
        }
    }
}
