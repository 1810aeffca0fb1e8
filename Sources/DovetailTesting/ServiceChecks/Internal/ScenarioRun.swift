// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation

/// One run of a scenario in a world of its own.
struct ScenarioRun: Sendable {
    /// What happens besides the scenario itself.
    struct Plan: Sendable {
        var seed: UInt64 = 0
        /// The messages to deliver, by their indices, in order.
        var order: [Int]
        /// How long to wait between two deliveries.
        var spacing: Duration = .zero
        /// Whether the bus gives each message to each group twice.
        var repeatsAll = false
        /// The service that crashes, and before which of its effects, counted from 1.
        var crash: (service: String, number: Int)?
        /// What is put on the bus first.
        var poison: Poison?
    }

    /// What came of a run.
    struct Outcome: Sendable {
        var end: EndState
        /// What each service did, in order.
        var effects: [String: [String]]
        /// How often each service was started.
        var incarnations: [String: Int]
        /// What services published, each once.
        var published: [Envelope<Bytes>]
        var letters: [DeadLetter]
        var rejected: [RejectedMessage]
        /// Who reads each topic that was used.
        var groups: [Topic: [ConsumerGroup]]
        /// The consumers that skipped a message because they have no route for its type.
        var skipped: [MessageID: Set<String>]
    }

    /// A run takes no more virtual time than this; what is in flight then stays so.
    private static let horizon: Duration = .seconds(86_400)

    let check: String
    let scenario: ServiceScenario
    let envelopes: [Envelope<Bytes>]

    /// - Throws: ``CheckFailure`` if the messages have no valid form.
    init(_ check: String, of scenario: ServiceScenario) async throws {
        self.check = check
        self.scenario = scenario
        // One identity for all runs, so that a repeat is one.
        let runtime = Runtime(time: VirtualTime(), random: SeededRandom(seed: 0))
        let factory = EnvelopeFactory(source: "/test", codec: scenario.codec, runtime: runtime)
        var envelopes: [Envelope<Bytes>] = []
        for message in scenario.messages {
            do {
                envelopes.append(try await factory.envelope(for: message))
            } catch {
                throw CheckFailure(check: check, "The message \(message) cannot be sent: \(error)")
            }
        }
        self.envelopes = envelopes
    }

    /// The run without anything that goes wrong, to which others are compared.
    ///
    /// - Throws: ``CheckFailure`` if it fails, says nothing, or differs from seed to seed.
    func undisturbed(spacing: Duration = .zero) async throws -> Outcome {
        do {
            return try await compareUndisturbed(spacing: spacing)
        } catch let error as SimulationError {
            throw CheckFailure(check: check, "The run failed although nothing went wrong: \(error)")
        }
    }

    private func compareUndisturbed(spacing: Duration) async throws -> Outcome {
        let plan = Plan(order: Array(envelopes.indices), spacing: spacing)
        let first = try await run(plan)
        for envelope in envelopes where first.groups[envelope.attributes.topic]?.isEmpty != false {
            throw CheckFailure(
                check: check,
                "Nobody reads the topic '\(envelope.attributes.topic)', to which a message of the scenario goes. "
                    + "Does the service run its consumer, and has it a route for '\(envelope.attributes.type)'?")
        }
        guard !first.end.isEmpty else {
            throw CheckFailure(
                check: check,
                "Given its messages, the service changed no row and published nothing, so there is nothing to compare. "
                    + "Give it messages that it acts on, and the databases and the bus of its `node`.")
        }
        for seed in 1...2 as ClosedRange<UInt64> {
            var other = plan
            other.seed = seed
            let differences = EndState.differences(from: first.end, to: try await run(other).end)
            guard differences.isEmpty else {
                throw CheckFailure(
                    check: check,
                    Self.text(
                        "With nothing going wrong, two runs (seeds 0 and \(seed)) end differently:", differences,
                        "Leave out what may differ with `.ignoring(\"table.field\")`, or find the race."))
            }
        }
        return first
    }

    static func text(_ head: String, _ differences: [String], _ tail: String) -> String {
        let shown = differences.prefix(12).map { "  \($0)" }
        let more = differences.count > 12 ? ["  … and \(differences.count - 12) more"] : []
        return ([head] + shown + more + [tail]).joined(separator: "\n")
    }

    // MARK: Running

    /// Runs the scenario once.
    ///
    /// - Throws: ``SimulationError`` if it cannot be brought to its end, or a service threw.
    func run(_ plan: Plan) async throws -> Outcome {
        let skips = SkippedMessages()
        let world = World(
            seed: plan.seed, limits: Simulation.Limits(jobs: 1_000_000, outsideGrace: .milliseconds(200)),
            instrument: skips)
        if plan.repeatsAll { world.bus.setFaults(TransportFaults(duplicate: 1)) }
        world.countEffects(crashing: plan.crash)
        for part in scenario.parts { world.add(part.name, part.factory) }
        let stored = Shared([Envelope<Bytes>]())
        world.bus.onPublish { envelope in stored.withLock { $0.append(envelope) } }
        let result: Result<Outcome, any Error>
        do {
            result = .success(try await run(plan, in: world, stored, skips))
        } catch {
            result = .failure(error)
        }
        // Whatever came of it then, this is why.
        if let service = world.stoppedService {
            throw SimulationError(
                .limitReached,
                "The service '\(service)' asked for more than \(World.mostCountedEffects) effects: look for a loop that tries again "
                    + "at once, for ever.", seed: plan.seed)
        }
        return try result.get()
    }

    private func run(
        _ plan: Plan, in world: World, _ stored: Shared<[Envelope<Bytes>]>, _ skips: SkippedMessages
    ) async throws -> Outcome {
        try await world.run {
            // Whoever subscribes later than others would not see what these have read.
            try await world.untilQuiet(horizon: Self.horizon)
            for preparation in scenario.preparations { try await preparation(world) }
            if let poison = plan.poison {
                try await poison.deliver(on: world.bus)
                try await world.advance(by: .milliseconds(1))
            }
            for index in plan.order {
                if let error = try await world.bus.publish([envelopes[index]]).first?.error { throw error }
                if plan.spacing > .zero { try await world.advance(by: plan.spacing) }
            }
            try await world.untilQuiet(horizon: Self.horizon)
            return try await outcome(of: world, stored: stored.withLock { $0 }, skips.messages)
        }
    }

    private func outcome(
        of world: World, stored: [Envelope<Bytes>], _ skipped: [MessageID: Set<String>]
    ) async throws -> Outcome {
        // Before anything is read here: these reads are nobody's effects, but they take time.
        let effects = world.countedEffects
        var seen = Set(envelopes.map(\.attributes.id))
        let published = stored.filter {
            !Poison.isPoison($0.attributes) && seen.insert($0.attributes.id).inserted
        }
        var letters: [DeadLetter] = []
        for name in world.databaseNames {
            letters += try await DeadLetterQueue(in: world.database(name)).list(limit: .max)
        }
        let topics = Set((envelopes + stored).map(\.attributes.topic))
        return Outcome(
            end: try await EndState(of: world, published: published, ignoring: scenario.ignored), effects: effects,
            incarnations: Dictionary(
                uniqueKeysWithValues: world.services.map { ($0, world.incarnations(of: $0)) }),
            published: published, letters: letters, rejected: world.bus.rejected,
            groups: Dictionary(uniqueKeysWithValues: topics.map { ($0, world.bus.groups(reading: $0)) }),
            skipped: skipped)
    }
}

/// Notes which consumers had no route for a message.
private final class SkippedMessages: Instrument {
    private let skipped = Shared([MessageID: Set<String>]())

    var messages: [MessageID: Set<String>] { skipped.withLock { $0 } }

    func record<E: InstrumentEvent>(_ event: E) {
        guard let event = event as? MessageSkipped, event.reason == "no route" else { return }
        skipped.withLock { _ = $0[event.attributes.id, default: []].insert(event.consumer) }
    }
}
