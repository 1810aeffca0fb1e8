// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailDeadLetters
import DovetailSimulation
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct RedriveTests {
    private func redriver(
        _ world: TestWorld, to transport: ScriptedTransport? = nil
    ) -> Redriver<InMemoryDatabase, ScriptedTransport> {
        Redriver(world.letters, to: transport ?? ScriptedTransport(world.bus))
    }

    private func keep(_ count: Int, in world: TestWorld) async throws {
        try await world.letters.capture((0..<count).map { letter("\($0)") })
    }

    private func ids(_ range: Range<Int>) -> [String] { range.map { "message \($0)" } }

    // MARK: What it does

    @Test func messagesAreSentWithTheSameIdentityAndTheirHistory() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        try await world.run {
            try await keep(250, in: world)
            let before = world.time.now()
            try await world.advance(by: .seconds(60))
            let job = try await world.letters.redrive(RedriveRequest(note: "the bank is up again"))
            #expect(job.total == 250)
            let done = try await redriver(world).run(job.id)
            #expect(done.state == .completed && done.redriven == 250 && done.passedOver == 0)
            #expect(world.stored == ids(0..<250))
            #expect(try await world.letters.count() == 0)
            let sent = try #require(world.published().first)
            #expect(sent.payload == Bytes("payload 0".utf8))
            #expect(sent.attributes.correlationID == "conversation")
            let headers = sent.attributes.headers
            #expect(headers["Dovetail-Redrives"] == "1")
            #expect(headers["Dovetail-Dead-Letter"] == "0")
            #expect(headers["Dovetail-Dead-Reason"] == "poison")
            #expect(headers["Dovetail-Dead-Failure"] == "Broken: It failed for 0.")
            #expect(headers["Dovetail-First-Dead"] == before.rfc3339)
            let record = try #require(try await world.letters.history(of: "message 7").first)
            #expect(record.removal.exit == .redriven && record.removal.job == job.id)
            #expect(record.removal.note == "the bank is up again")
            #expect(record.failure.message == "It failed for 7.")
        }
        #expect(events.count("dovetail.message.redriven") == 250)
        #expect(events.count("dovetail.redrive.state_changed") == 3)
    }

    @Test func aMessageThatFailsAgainIsANewLetterThatKnowsItsFirst() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture([letter("1")])
            let first = try #require(try await world.letters.letter("1"))
            try await world.advance(by: .seconds(10))
            let job = try await world.letters.redrive(RedriveRequest())
            try await redriver(world).run(job.id)
            let sent = try #require(world.published().first)
            let content = Delivery.Content.envelope(sent)
            let id = DeadLetter.makeID(of: content, topic: "shop.orders", position: "", consumer: "payments")
            #expect(
                id != DeadLetter.makeID(of: first.content, topic: "shop.orders", position: "", consumer: "payments"))
            let again = DeadLetter(
                id: id, content: content, topic: "shop.orders", position: "", consumer: "payments", attempts: 1,
                reason: .poison, failure: first.failure, time: world.time.now())
            #expect(again.redrives == 1)
            #expect(again.firstTime == first.time && again.time > first.time)
            #expect(first.redrives == 0 && first.firstTime == first.time)
        }
    }

    @Test func onlyWhatTheFilterMeansIsSent() async throws {
        let world = TestWorld()
        try await world.run {
            try await world.letters.capture((0..<30).map { letter("\($0)", reason: $0 % 3 == 0 ? .expired : .poison) })
            let job = try await world.letters.redrive(RedriveRequest(DeadLetterFilter(reason: .expired), batchSize: 4))
            #expect(try await redriver(world).run(job.id).redriven == 10)
            #expect(world.stored == (0..<10).map { "message \($0 * 3)" })
            #expect(try await world.letters.count() == 20)
        }
    }

    @Test func whatComesAfterTheMomentOfAskingIsNotMeant() async throws {
        let world = TestWorld()
        try await world.run {
            try await keep(5, in: world)
            let job = try await world.letters.redrive(RedriveRequest(batchSize: 2))
            try await world.letters.capture((5..<9).map { letter("\($0)") })
            let done = try await redriver(world).run(job.id)
            #expect(done.state == .completed && done.redriven == 5)
            #expect(world.stored == ids(0..<5))
            #expect(try await world.letters.list().map(\.id) == ["5", "6", "7", "8"])
        }
    }

    @Test func aDryRunSendsNothingAndSaysWhatWould() async throws {
        let world = TestWorld()
        try await world.run {
            try await keep(120, in: world)
            var plan = try await world.letters.plan(RedriveRequest(lettersPerSecond: 10), examples: 3)
            #expect(plan.total == 120 && plan.duration == .seconds(12) && plan.conflicts.isEmpty)
            #expect(plan.examples.map(\.id) == ["0", "1", "2"] && plan.undecodableExamples == 0)
            #expect(world.stored.isEmpty)
            #expect(try await world.letters.redriveJobs().isEmpty)
            let job = try await world.letters.redrive(RedriveRequest())
            plan = try await world.letters.plan(RedriveRequest())
            #expect(plan.conflicts.map(\.id) == [job.id])
        }
    }

    @Test func aSecondRedriveOfTheSameLettersIsRefusedAndOneOfOthersIsNot() async throws {
        let world = TestWorld()
        try await world.run {
            try await keep(3, in: world)
            let job = try await world.letters.redrive(RedriveRequest(DeadLetterFilter(queue: "a", reason: .poison)))
            let error = await #expect(throws: DeadLetterError.self) {
                try await world.letters.redrive(RedriveRequest(DeadLetterFilter(queue: "a", consumer: "payments")))
            }
            #expect(error?.code == .redriveActive && error?.message.contains(job.id) == true)
            try await world.letters.redrive(RedriveRequest(DeadLetterFilter(queue: "b")))
            try await world.letters.redrive(RedriveRequest(DeadLetterFilter(queue: "a", reason: .expired)))
            try await world.letters.cancelRedrive(job.id)
            try await world.letters.redrive(RedriveRequest(DeadLetterFilter(queue: "a", reason: .poison)))
            _ = try await world.deadLetters()
        }
    }

    @Test(arguments: [
        RedriveRequest(canary: -1), RedriveRequest(lettersPerSecond: 0), RedriveRequest(batchSize: 0),
        RedriveRequest(canary: 1001), RedriveRequest(canaryWait: .seconds(-1)),
    ])
    func aRequestWithoutSenseIsRefused(request: RedriveRequest) async throws {
        let world = TestWorld()
        try await world.run {
            for ask in [
                { _ = try await world.letters.redrive(request) }, { _ = try await world.letters.plan(request) },
            ] {
                let error = await #expect(throws: DeadLetterError.self) { try await ask() }
                #expect(error?.code == .invalidRequest)
            }
        }
    }

    // MARK: Care

    @Test func lettersGoAtTheRateAskedFor() async throws {
        let world = TestWorld()
        try await world.run {
            try await keep(100, in: world)
            let job = try await world.letters.redrive(RedriveRequest(lettersPerSecond: 20))
            let transport = ScriptedTransport(world.bus)
            let start = world.time.monotonic()
            try await redriver(world, to: transport).run(job.id)
            let elapsed = world.time.monotonic() - start
            #expect(elapsed >= .milliseconds(4900) && elapsed <= .seconds(5))
            // No bursts: a tenth of a second's worth at a time.
            #expect(transport.calls.all.map(\.count) == Array(repeating: 2, count: 50))
        }
    }

    @Test func someGoAheadAndTheRestFollowsWhenTheyStayAway() async throws {
        let world = TestWorld()
        try await world.run {
            try await keep(50, in: world)
            let job = try await world.letters.redrive(RedriveRequest(canary: 5, canaryWait: .seconds(30)))
            let states = Log<RedriveState>()
            let start = world.time.monotonic()
            let transport = ScriptedTransport(world.bus)
            let done = try await redriver(world, to: transport).run(job.id) { states.add($0.state) }
            #expect(done.state == .completed && done.redriven == 50)
            #expect(transport.calls.all.map(\.count) == [5, 45])
            #expect(states.all.contains(.watching))
            #expect(world.time.monotonic() - start == .seconds(30))
        }
    }

    @Test func whenOneThatWentAheadComesBackTheRestStays() async throws {
        let world = TestWorld()
        try await world.run {
            try await keep(50, in: world)
            let letters = world.letters
            let transport = ScriptedTransport(world.bus)
            let job = try await letters.redrive(RedriveRequest(canary: 5, canaryWait: .seconds(30)))
            async let run = redriver(world, to: transport).run(job.id)
            try await world.time.sleep(for: .seconds(10))
            // As its consumer would capture it.
            let sent = try #require(world.published().first { $0.attributes.id == "message 3" })
            let back = DeadLetter(
                id: "back", content: .envelope(sent), topic: "shop.orders", position: "", consumer: "payments",
                attempts: 1,
                reason: .poison, failure: FailureDetail(type: "Broken", message: ""), time: world.time.now())
            try await letters.capture([back])
            let stopped = try await run
            #expect(stopped.state == .stopped && stopped.redriven == 5)
            #expect(stopped.problem.contains("went ahead"))
            #expect(try await letters.count() == 46)
            // Somebody has looked at it; what came meanwhile is still not meant.
            #expect(try await letters.resumeRedrive(job.id).state == .waiting)
            #expect(try await redriver(world, to: transport).run(job.id).redriven == 50)
            #expect(try await letters.list().map(\.id) == ["back"])
        }
    }

    @Test func aRedriveThatIsCancelledStopsAndKeepsTheRest() async throws {
        let world = TestWorld()
        try await world.run {
            try await keep(100, in: world)
            let job = try await world.letters.redrive(RedriveRequest(lettersPerSecond: 10))
            async let run = redriver(world).run(job.id)
            try await world.time.sleep(for: .milliseconds(4950))
            #expect(try await world.letters.cancelRedrive(job.id).state == .cancelled)
            let ended = try await run
            #expect(ended.state == .cancelled)
            let sent = world.stored.count
            #expect((49...51).contains(sent))
            #expect(try await world.letters.count() >= 100 - sent)
            let error = await #expect(throws: DeadLetterError.self) { try await world.letters.resumeRedrive(job.id) }
            #expect(error?.code == .redriveEnded)
        }
    }

    @Test func oneProcessWorksOnARedriveAtATime() async throws {
        let world = TestWorld()
        try await world.run {
            try await keep(20, in: world)
            let job = try await world.letters.redrive(RedriveRequest(lettersPerSecond: 1))
            async let run = redriver(world).looking(lease: .seconds(3)).run(job.id)
            // Longer than a lease that is not renewed.
            try await world.time.sleep(for: .seconds(10))
            let error = await #expect(throws: DeadLetterError.self) { try await redriver(world).run(job.id) }
            #expect(error?.code == .redriveClaimed)
            #expect(try await run.redriven == 20)
            #expect(world.stored == ids(0..<20))
        }
    }

    @Test func aRedriverFindsWhatIsAskedFor() async throws {
        let world = TestWorld()
        try await world.run(redriver(world)) {
            try await keep(20, in: world)
            let job = try await world.letters.redrive(RedriveRequest())
            try await world.advance(by: .seconds(6))
            #expect(try await world.letters.redriveJob(job.id).state == .completed)
            #expect(world.stored == ids(0..<20))
            let error = await #expect(throws: DeadLetterError.self) { try await world.letters.redriveJob("none") }
            #expect(error?.code == .noSuchRedrive)
        }
    }
}
