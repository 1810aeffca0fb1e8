// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailSimulation
public import Testing

/// Runs a user's own services on in-memory parts, in virtual time and in an order that a seed decides.
///
/// ```swift
/// @Test(arguments: .simulated(seeds: 100)) func duplicateOrderChargesOnce(world: TestWorld) async throws {
///     try await world.run(PaymentService(world.database, world.bus)) {
///         try await world.deliver(OrderPlaced.sample, times: 3)
///         try await world.untilQuiet()
///         #expect(world.published(PaymentSucceeded.self).count == 1)
///     }
/// }
/// ```
///
/// It can also be made in a plain test, `TestWorld()`, or be the ``current`` one of a test with the trait
/// `.simulated(seeds:)`. An issue recorded in a run tells its seed and what happened before. A run that leaves something behind
/// that the test did not look at fails: messages that are not settled or not sent, parked messages, dead letters.
public final class TestWorld: Sendable {
    private struct State: Sendable {
        /// What was stored on the bus, in that order.
        var stored: [Envelope<Bytes>] = []
        /// The messages that the test itself delivered.
        var delivered: Set<MessageID> = []
        var seenRejections = 0
    }

    /// The world of the test, for crashes of named services and all else that is rarely needed.
    public let world: World

    private let state = Shared(State())

    /// Creates a world with nothing in it.
    ///
    /// - Parameters:
    ///   - seed: Decides order, faults, crashes, random numbers and identifiers.
    ///   - order: Which of the jobs that are ready runs next; decided by the seed if `nil`.
    ///   - start: The wall-clock time at which it begins.
    ///   - limits: How much a run may take before it is given up; a million jobs unless given.
    ///   - faults: What goes wrong on the bus.
    ///   - crashes: When services crash by chance.
    ///   - instrument: Hears of everything that happens.
    public init(
        seed: UInt64 = 0,
        order: SimulationExecutor.Order? = nil,
        start: Timestamp = VirtualTime.defaultStart,
        limits: Simulation.Limits = Simulation.Limits(jobs: 1_000_000),
        faults: TransportFaults = .none,
        crashes: CrashPlan = .none,
        instrument: (any Instrument)? = nil
    ) {
        world = World(seed: seed, order: order, start: start, limits: limits, instrument: instrument)
        world.crashes = crashes
        let state = state
        world.bus.onPublish { envelope in state.withLock { $0.stored.append(envelope) } }
        world.bus.setFaults(faults)
    }

    /// Creates a world in which all kinds of things go wrong.
    ///
    /// - Parameters:
    ///   - seed: Decides order, faults, crashes, random numbers and identifiers.
    ///   - faults: What goes wrong.
    ///   - order: Which of the jobs that are ready runs next; decided by the seed if `nil`.
    ///   - limits: How much a run may take before it is given up; a million jobs unless given.
    ///   - instrument: Hears of everything that happens.
    public convenience init(
        seed: UInt64 = 0,
        faults: FaultPlan,
        order: SimulationExecutor.Order? = nil,
        limits: Simulation.Limits = Simulation.Limits(jobs: 1_000_000),
        instrument: (any Instrument)? = nil
    ) {
        self.init(seed: seed, order: order, limits: limits, instrument: instrument)
        world.faults = faults
    }

    /// Requires that something holds in each run, from now on.
    ///
    /// - Parameter invariants: What must hold.
    public func require(_ invariants: Invariant...) {
        for invariant in invariants { world.require(invariant) }
    }

    // MARK: Parts

    /// The database named `main`.
    public var database: InMemoryDatabase { world.database() }

    /// A database, made when it is first asked for.
    ///
    /// - Parameter name: Names it within the world.
    /// - Returns: The database.
    public func database(named name: String) -> InMemoryDatabase {
        world.database(name)
    }

    /// The transport.
    public var bus: InMemoryTransport { world.bus }

    /// The clock.
    public var time: VirtualTime { world.time }

    /// What the parts of the library find as the current runtime during a run.
    public var runtime: Runtime { world.runtime }

    /// Decides order, faults, crashes, random numbers and identifiers.
    public var seed: UInt64 { world.seed }

    // MARK: Running

    /// Runs services beside a body, until the body has ended.
    ///
    /// The services are then cancelled and shut down. What the body throws is thrown on.
    ///
    /// - Parameters:
    ///   - services: What to run; each goes by the name of its type. After a crash the same value is run again, so it must
    ///     keep nothing in memory; otherwise, or for handles of its own, use ``add(_:_:)``.
    ///   - allowingLeftovers: Whether work that is not done and dead letters that nobody looked at are fine.
    ///   - sourceLocation: Where to record an issue about leftovers.
    ///   - body: Makes things happen and checks what came of them.
    /// - Returns: What the body returned.
    /// - Throws: What the body throws; ``SimulationError``.
    @discardableResult
    public func run<Result: Sendable>(
        _ services: any Service...,
        allowingLeftovers: Bool = false,
        sourceLocation: SourceLocation = #_sourceLocation,
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let names = add(services)
        defer { world.remove(names) }
        let (result, _) = try await IssueScope.run(comments: comments) {
            let (result, leftovers) = try await self.runWorld(body)
            if !leftovers.isEmpty, !allowingLeftovers { self.recordIssue(about: leftovers, at: sourceLocation) }
            return result
        }
        return result
    }

    private func runWorld<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> (Result, leftovers: [String]) {
        do {
            return try await world.run {
                let result = try await body()
                // Before the services are shut down: what they give back then is no news.
                return (result, self.leftovers)
            }
        } catch let error as SimulationError where error.code == .bodyFailed {
            throw error.cause ?? error
        } catch var error as SimulationError where error.history.isEmpty {
            error.history = (world.trace?.lines(last: 50) ?? [])
            throw error
        }
    }

    private func recordIssue(about leftovers: [String], at location: SourceLocation) {
        Issue.record(
            """
            The run left behind: \(leftovers.joined(separator: "; ")).
            Wait with `untilQuiet()`, look at what came of it (`deadLetters()`, `rejected()`), or run with \
            `allowingLeftovers: true`.
            """,
            sourceLocation: location
        )
    }

    private func add(_ services: [any Service]) -> Set<String> {
        var names: Set<String> = []
        for service in services {
            let type = String(describing: Swift.type(of: service))
            var name = type
            var count = 1
            while world.services.contains(name) {
                count += 1
                name = "\(type)#\(count)"
            }
            world.add(name) { _ in service }
            names.insert(name)
        }
        return names
    }

    /// Adds a service that is built anew after each crash.
    ///
    /// It runs during each run of the world.
    ///
    /// - Parameters:
    ///   - name: Names it in ``crash(_:downtime:)`` and in errors.
    ///   - factory: Builds the service from handles that are cut off when it crashes.
    public func add(_ name: String, _ factory: @escaping @Sendable (Node) throws -> any Service) {
        world.add(name, factory)
    }

    // MARK: Making things happen

    /// Publishes a message on the bus, as often as asked for and under one identity, so that repeats are true repeats.
    ///
    /// The message gets through whatever faults are set: a publish that fails is tried again.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - times: How often.
    ///   - options: What to set on its envelope.
    /// - Returns: Its identity.
    /// - Throws: ``MessageError`` if it has no valid form; ``TransportError`` if the bus does not take it.
    @discardableResult
    public func deliver<M: Message>(
        _ message: M, times: Int = 1, options: PublishOptions = PublishOptions()
    ) async throws -> MessageID {
        let factory = EnvelopeFactory(source: "/test", runtime: runtime)
        let envelope = try await factory.envelope(for: message, options: options)
        try await deliver(envelope, times: times)
        return envelope.attributes.id
    }

    /// Publishes an envelope on the bus exactly as it is.
    ///
    /// - Parameters:
    ///   - envelope: The envelope.
    ///   - times: How often.
    /// - Throws: ``TransportError`` if the bus does not take it.
    public func deliver(_ envelope: Envelope<Bytes>, times: Int = 1) async throws {
        state.withLock { _ = $0.delivered.insert(envelope.attributes.id) }
        try await world.deliver(envelope, times: times)
    }

    /// Crashes a service now, as ``World/crash(_:downtime:)`` does.
    ///
    /// - Parameters:
    ///   - service: Its name.
    ///   - downtime: How long it stays down; until `world.restart(_:)` if `nil`.
    /// - Throws: ``SimulationError`` with ``SimulationError/Code/unknownService``.
    public func crash(_ service: String, downtime: Duration? = .zero) throws {
        try world.crash(service, downtime: downtime)
    }

    /// Crashes a service when it next asks for an effect, as ``World/crash(_:before:downtime:)`` does.
    ///
    /// - Parameters:
    ///   - service: Its name.
    ///   - effect: The effect, such as `publish` or `commit a transaction`.
    ///   - downtime: How long it stays down; until `world.restart(_:)` if `nil`.
    /// - Throws: ``SimulationError`` with ``SimulationError/Code/unknownService``.
    public func crash(_ service: String, before effect: String, downtime: Duration? = .zero) throws {
        try world.crash(service, before: effect, downtime: downtime)
    }

    /// Crashes a service that was given to ``run(_:allowingLeftovers:sourceLocation:_:)``, by its type.
    ///
    /// - Parameters:
    ///   - service: Its type; the first one if there are several.
    ///   - downtime: How long it stays down; until `world.restart(_:)` if `nil`.
    /// - Throws: ``SimulationError`` with ``SimulationError/Code/unknownService``.
    public func crash(_ service: any Service.Type, downtime: Duration? = .zero) throws {
        try world.crash(String(describing: service), downtime: downtime)
    }

    /// Waits until nothing is in flight; never a timer.
    ///
    /// See ``World/untilQuiet(horizon:)``.
    ///
    /// - Parameter horizon: Does not wait for what happens later than this; without an end if `nil`.
    /// - Throws: `CancellationError` if the run ends; ``SimulationError`` with ``SimulationError/Code/notRunning``.
    public func untilQuiet(horizon: Duration? = nil) async throws {
        try await world.untilQuiet(horizon: horizon)
    }

    /// Lets time pass, and everything that is due in it come to rest.
    ///
    /// - Parameter duration: How long.
    /// - Throws: `CancellationError` if the run ends; ``SimulationError`` with ``SimulationError/Code/notRunning``.
    public func advance(by duration: Duration) async throws {
        try await world.advance(by: duration)
    }

    // MARK: Looking at what came of it

    /// The messages of a type that services published, each once, in the order in which the bus stored them.
    ///
    /// What the test itself delivered is left out, and so are repeats: a relay may publish a message more than once, always
    /// under one identity.
    ///
    /// - Parameters:
    ///   - type: The type of the messages; those of its major version are decoded from JSON.
    ///   - sourceLocation: Where to record an issue about a payload that is no such message.
    /// - Returns: The messages.
    public func published<M: Message>(
        _ type: M.Type, sourceLocation: SourceLocation = #_sourceLocation
    ) -> [M] {
        published(M.type).compactMap { envelope in
            guard envelope.attributes.version.major == M.version.major else { return nil }
            do {
                return try JSONPayloadCodec().decodeNow(type, from: envelope)
            } catch {
                Issue.record(error, sourceLocation: sourceLocation)
                return nil
            }
        }
    }

    /// The envelopes of a type that services published, in the order in which the bus stored them.
    ///
    /// - Parameters:
    ///   - type: The type of the messages; all if `nil`.
    ///   - countingRepeats: Whether an envelope that was published again counts again.
    /// - Returns: The envelopes, without those that the test itself delivered.
    public func published(_ type: MessageType? = nil, countingRepeats: Bool = false) -> [Envelope<Bytes>] {
        let (stored, delivered) = state.withLock { ($0.stored, $0.delivered) }
        var seen = delivered
        return stored.filter { envelope in
            guard type == nil || envelope.attributes.type == type else { return false }
            let isNew = seen.insert(envelope.attributes.id).inserted
            return isNew || countingRepeats && !delivered.contains(envelope.attributes.id)
        }
    }

    /// The dead letters in all databases, oldest first in each.
    ///
    /// - Returns: The letters. The test has then looked at them.
    /// - Throws: ``DatabaseError``.
    public func deadLetters() async throws -> [DeadLetter] {
        var letters: [DeadLetter] = []
        for name in world.databaseNames {
            letters += try await DeadLetterQueue(in: world.database(name)).list(limit: .max)
        }
        return letters
    }

    /// The messages that groups rejected and the bus keeps.
    ///
    /// - Returns: The messages, the newest at the end. The test has then looked at them.
    public func rejected() -> [RejectedMessage] {
        let rejected = world.bus.rejected
        state.withLock { $0.seenRejections = rejected.count }
        return rejected
    }

    /// What is not done yet, and what came of it that the test did not look at, in words.
    public var leftovers: [String] {
        var leftovers = world.inFlight
        for name in world.databaseNames {
            let letters = world.database(name).unseenDeadLetters
            guard let first = letters.first else { continue }
            leftovers.append(
                "\(letters.count) dead letters in the database '\(name)', the first from '\(first.consumer)': "
                    + "\(first.reason), \(first.failure.message)"
            )
        }
        let rejected = world.bus.rejected.dropFirst(state.withLock(\.seenRejections))
        if let first = rejected.first {
            leftovers.append("\(rejected.count) rejected messages, the first by '\(first.group)': \(first.reason)")
        }
        return leftovers
    }

    /// What happened, a line for each event, with the virtual time since the world began.
    public var log: [String] { world.trace?.lines() ?? [] }

    // MARK: Issues

    @Sendable func comments(isFirst: Bool) -> [String] {
        let test = Test.current.map { " swift test --filter \($0.name.prefix { $0 != "(" })" } ?? ""
        let replay = "Replay: \(environment)\(test)"
        guard isFirst else { return [replay] }
        let lines = (world.trace?.lines(last: 50) ?? [])
        return lines.isEmpty ? [replay] : [replay, "What happened last:\n" + lines.joined(separator: "\n")]
    }
}

extension TestWorld: CustomTestStringConvertible {
    /// The seed, and how to run the test with that seed alone.
    public var testDescription: String { "seed \(seed), replay with \(environment)" }

    private var environment: String { "\(SeedSelection.variable)=\(seed) SWIFT_DETERMINISTIC_HASHING=1" }
}
