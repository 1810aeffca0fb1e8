// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import Synchronization

/// What a run came to.
struct Outcome: Sendable {
    let check: Check
    let figures: Figures
}

/// What is counted on the way; the check does not look at it.
struct Figures: Sendable {
    var published = 0
    var delivered = 0
    var swallowed = 0
    var latencies: [Duration] = []

    /// The latency that a share of all entries is below.
    func latency(_ share: Double) -> Duration {
        let sorted = latencies.sorted()
        guard !sorted.isEmpty else { return .zero }
        return sorted[min(sorted.count - 1, max(0, Int((Double(sorted.count) * share).rounded(.up)) - 1))]
    }
}

/// Counts what happens on the bus.
final class Counter: Instrument {
    private let figures = Mutex(Figures())

    var current: Figures { figures.withLock { $0 } }

    func add(_ latency: Duration) {
        figures.withLock { $0.latencies.append(latency) }
    }

    func record<E: InstrumentEvent>(_ event: E) {
        switch event {
        case is MessagePublished: figures.withLock { $0.published += 1 }
        case is MessageReceived: figures.withLock { $0.delivered += 1 }
        case is MessageDeduplicated: figures.withLock { $0.swallowed += 1 }
        default: break
        }
    }
}

/// One wall, twelve feeds, and a bus between them on which things go wrong.
struct Run: Sendable {
    private let options: Options
    private let counter = Counter()

    init(_ options: Options) {
        self.options = options
    }

    func run() async throws -> Outcome {
        guard options.workers == 1 else {
            // On all cores and by the machine's clock.
            let runtime = Runtime(random: SeededRandom(seed: options.seed), instrument: counter)
            return try await Runtime.$current.withValue(runtime) { try await runParts() }
        }
        // On one task at a time and on virtual time, so that the seed decides everything.
        let simulation = Simulation(seed: options.seed, limits: .init(jobs: .max), instrument: counter)
        return try await simulation.run { try await runParts() }
    }

    private func runParts() async throws -> Outcome {
        let faults = TransportFaults(
            publishFails: options.drop, storedAnyway: 0.5, duplicate: options.duplicate, reorder: options.reorder,
            lose: options.drop
        )
        let bus = InMemoryTransport(redeliveryDelay: .milliseconds(50), faults: faults)
        let wall = Wall()
        let feeds = Feed.people.map { person in
            Feed(person: person, isProtected: options.isProtected) { [counter] in counter.add($0) }
        }
        // A group that comes later would not see what was read before.
        for feed in feeds { await (try bus.subscribe(to: Feed.topics, as: feed.group)).close() }
        let relay = OutboxRelay(
            from: wall.database, to: bus, settings: OutboxRelaySettings(pollInterval: .milliseconds(100)))
        let services: [any Service] = [relay] + feeds.map { $0.consumer(on: bus, workers: options.workers) }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            for service in services { group.addTask { try await service.run() } }
            defer { group.cancelAll() }
            try await wall.liven(options.activities, random: SeededRandom(seed: options.seed), double: options.double)
            try await untilAtRest(wall, feeds, bus)
            return Outcome(check: try await Check(wall: wall, feeds: feeds), figures: counter.current)
        }
    }

    /// Waits until everything that was told has been heard.
    private func untilAtRest(_ wall: Wall, _ feeds: [Feed], _ bus: InMemoryTransport) async throws {
        let time = Runtime.current.time
        while true {
            let unsent = try await wall.database.outboxStore.statistics().unsent
            let unheard = feeds.reduce(0) { $0 + bus.backlog(of: $1.group, on: Feed.topics) }
            if unsent == 0, unheard == 0 { return }
            try await time.sleep(for: .milliseconds(20))
        }
    }
}
