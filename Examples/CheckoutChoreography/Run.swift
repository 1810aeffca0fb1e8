// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import Synchronization

/// What a run came to.
struct Outcome: Sendable {
    let audit: Audit
    let figures: Figures
    /// An order that stalled, as the watch saw it; `nil` if none did.
    let example: Conversation?
}

/// What is counted on the way; the audit looks only at what was said.
struct Figures: Sendable {
    var published: [Envelope<Bytes>] = []
    var delivered = 0
    var swallowed = 0
    var raised = 0
    var resolved = 0
    var firstAlert: ConversationAlert?
}

/// Counts what happens on the bus.
final class Counter: Instrument {
    private let figures = Mutex(Figures())

    var current: Figures { figures.withLock { $0 } }

    func published(_ envelope: Envelope<Bytes>) {
        figures.withLock { $0.published.append(envelope) }
    }

    func told(_ alert: ConversationAlert) {
        figures.withLock { figures in
            if alert.kind == .stalled { figures.raised += 1 } else { figures.resolved += 1 }
            figures.firstAlert = figures.firstAlert ?? alert
        }
    }

    func record<E: InstrumentEvent>(_ event: E) {
        switch event {
        case is MessageReceived: figures.withLock { $0.delivered += 1 }
        case is MessageDeduplicated: figures.withLock { $0.swallowed += 1 }
        default: break
        }
    }
}

/// Three services, a watch, and a bus between them on which things go wrong.
struct Run: Sendable {
    private let options: Options
    private let flow: Choreography
    private let counter = Counter()

    init(_ options: Options, _ flow: Choreography) {
        self.options = options
        self.flow = flow
    }

    func run() async throws -> Outcome {
        // On one task at a time and on virtual time, so that the seed decides everything.
        let simulation = Simulation(seed: options.seed, limits: .init(jobs: .max), instrument: counter)
        return try await simulation.run { try await runParts() }
    }

    private func runParts() async throws -> Outcome {
        let bus = InMemoryTransport(
            redeliveryDelay: .milliseconds(50),
            faults: TransportFaults(
                publishFails: options.drop, storedAnyway: 0.5, duplicate: options.duplicate, reorder: options.reorder,
                lose: options.drop))
        bus.onPublish { [counter] in counter.published($0) }
        let plan = Plan(options)
        let givesBack = options.without != .compensation
        let orders = Orders(database: InMemoryDatabase(), flow: flow, awaitsRefund: givesBack)
        let payments = Payments(
            database: InMemoryDatabase(), flow: flow,
            gateway: CardGateway(declined: plan.declined, slow: plan.slow), givesBack: givesBack)
        let inventory = Inventory(database: InMemoryDatabase(), flow: flow, outOfStock: plan.outOfStock)
        let watch = ChoreographyWatch(flow, on: bus, in: InMemoryDatabase()).alerting { [counter] in counter.told($0) }
        let parts = [
            try Part(orders, on: bus, options), try Part(payments, on: bus, options),
            try Part(inventory, on: bus, options),
        ]
        // A group that comes later would not see what was read before.
        for part in parts { await (try bus.subscribe(to: part.topics, as: part.group)).close() }

        return try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            group.addTask { try await watch.run() }
            for part in parts where part.name != options.stop?.rawValue { group.addTask { try await part.run() } }
            for order in plan.orders {
                try await orders.place(order, sku: "tea")
                try await Runtime.current.time.sleep(for: .milliseconds(20))
            }
            if let stopped = parts.first(where: { $0.name == options.stop?.rawValue }) {
                try await Runtime.current.time.sleep(for: .seconds(600))
                group.addTask { try await stopped.run() }
            }
            try await untilAtRest(parts, watch, bus)
            // What is still missing then is late, and the watch says so.
            try await Runtime.current.time.sleep(for: .seconds(120))
            let figures = counter.current
            let audit = try await Audit(
                orders: orders, payments: payments, inventory: inventory, watch: watch, plan: plan,
                comparison: flow.compare(with: figures.published), deadLetters: try await deadLetters(parts))
            var example: Conversation?
            if let alert = figures.firstAlert { example = try await watch.conversation(alert.conversation) }
            return Outcome(audit: audit, figures: figures, example: example)
        }
    }

    private func deadLetters(_ parts: [Part]) async throws -> Int {
        var count = 0
        for part in parts { count += try await DeadLetterQueue(in: part.database).count() }
        return count
    }

    /// Waits until everything that was told has been heard.
    private func untilAtRest(
        _ parts: [Part], _ watch: ChoreographyWatch<InMemoryDatabase>, _ bus: InMemoryTransport
    ) async throws {
        let time = Runtime.current.time
        var quiet = 0
        // Several times in a row: between two looks a message may be on its way from one place to the other.
        while quiet < 5 {
            var waiting = bus.backlog(of: ConsumerGroup("watch.\(flow.name)"), on: flow.events.map(\.topic))
            for part in parts {
                waiting += try await part.database.outboxStore.statistics().unsent
                waiting += bus.backlog(of: part.group, on: part.topics)
                waiting += try await WaitingRoom(in: part.database).statistics(of: part.name).waiting
            }
            quiet = waiting == 0 ? quiet + 1 : 0
            try await time.sleep(for: .milliseconds(100))
        }
    }
}

/// A participant with what it needs to run: its consumer, and the relay of its outbox.
struct Part: Sendable {
    let name: String
    let database: InMemoryDatabase
    let topics: [Topic]
    private let services: [any Service]

    var group: ConsumerGroup { ConsumerGroup(name) }

    init<P: Participant>(
        _ participant: P, on bus: InMemoryTransport, _ options: Options
    ) throws where P.DB == InMemoryDatabase {
        name = participant.name
        database = participant.database
        topics = try participant.routes.map(\.topic)
        var consumer = try participant.consumer(on: bus)
            .retrying(.exponential(from: .milliseconds(5), upTo: .milliseconds(250), attempts: 50))
            .deadLettering(to: DeadLetterQueue(in: participant.database))
        if options.without == .idempotency { consumer = consumer.middleware(Forgetful()) }
        let relay: any Service =
            if options.without == .outbox {
                OutboxRelay(from: participant.database, to: FireAndForget(bus: bus))
            } else {
                OutboxRelay(from: participant.database, to: bus)
            }
        services = [consumer, relay]
    }

    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for service in services { group.addTask { try await service.run() } }
            try await group.waitForAll()
        }
    }
}

/// What happens to which order, decided by the seed before anything runs.
struct Plan: Sendable {
    var orders: [Order] = []
    var declined: Set<String> = []
    /// The orders for whose cards the gateway does not answer at first.
    var slow: Set<String> = []
    var outOfStock: Set<String> = []

    init(_ options: Options) {
        let random = SeededRandom(seed: options.seed)
        for number in 1...options.orders {
            let digits = String(number)
            let id = "order-" + String(repeating: "0", count: max(0, 4 - digits.count)) + digits
            orders.append(Order(id: id, cents: 500 + number * 37 % 9000))
            if random.chance(options.decline) { declined.insert(id) }
            if random.chance(options.outOfStock) { outOfStock.insert(id) }
            if random.chance(0.05) { slow.insert(id) }
        }
    }
}
