// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// A whole system in one seeded simulation: a transport, databases, and services that can crash.
///
/// ```swift
/// let world = World(seed: 7)
/// world.bus.setFaults(TransportFaults(duplicate: 0.2, lose: 0.1))
/// world.add("payments") { node in PaymentService(node.database, node.bus) }
/// try await world.run {
///     try await Publisher(on: world.bus).publish(OrderPlaced.sample)
///     try world.crash("payments", downtime: .seconds(5))
///     try await world.untilQuiet()
/// }
/// ```
///
/// A crash cuts a service off: from that point every handle of that incarnation refuses effects, its open transactions roll
/// back, its task is cancelled and brought to its end, and its factory builds the next one.
public final class World: Sendable {
    /// Runs it.
    public let simulation: Simulation

    private let surroundings: NodeSurroundings
    private let fence: SharedFence
    private let watch: InvariantWatch
    private let picks = Mutex<[String: Pick]>([:])
    let ledger: MessageLedger

    /// What happened, if the world was made with a seed.
    public let trace: Trace?
    private let nodes = Mutex<[NodeRunner]>([])
    private let starts = Mutex<AsyncStream<NodeRunner>.Continuation?>(nil)

    /// Creates a world with nothing in it.
    ///
    /// - Parameters:
    ///   - seed: Decides order, faults, crashes, random numbers and identifiers.
    ///   - order: Which of the jobs that are ready runs next; decided by the seed if `nil`.
    ///   - start: The wall-clock time at which it begins.
    ///   - limits: How much a run may take before it is given up.
    ///   - instrument: Hears of everything that happens.
    public convenience init(
        seed: UInt64,
        order: SimulationExecutor.Order? = nil,
        start: Timestamp = VirtualTime.defaultStart,
        limits: Simulation.Limits = Simulation.Limits(),
        instrument: (any Instrument)? = nil
    ) {
        self.init(seed: seed, order: order, start: start, limits: limits, trace: Trace(alsoTelling: instrument))
    }

    /// Creates a world with nothing in it, with a trace of its own.
    convenience init(
        seed: UInt64, order: SimulationExecutor.Order? = nil, start: Timestamp = VirtualTime.defaultStart,
        limits: Simulation.Limits = Simulation.Limits(), trace: Trace
    ) {
        self.init(
            Simulation(seed: seed, order: order, start: start, limits: limits, instrument: trace), trace: trace)
    }

    /// Creates a world with nothing in it.
    ///
    /// - Parameter simulation: Runs it.
    public convenience init(_ simulation: Simulation) {
        self.init(simulation, trace: nil)
    }

    private init(_ simulation: Simulation, trace: Trace?) {
        self.simulation = simulation
        self.trace = trace
        ledger = MessageLedger(trace: trace)
        trace?.use(simulation.time, ledger)
        simulation.injector.tell(ledger)
        fence = SharedFence(escapeGuard: simulation.escapeGuard)
        let databases = Databases(runtime: simulation.runtime)
        let bus = InMemoryTransport(runtime: simulation.runtime)
        surroundings = NodeSurroundings(
            bus: bus,
            databases: databases,
            time: simulation.time,
            escapeGuard: simulation.escapeGuard,
            injector: simulation.injector,
            runtime: simulation.runtime,
            seed: simulation.seed
        )
        let (time, ledger, cache) = (simulation.time, self.ledger, RowCache())
        watch = InvariantWatch(seed: simulation.seed) {
            WorldState(databases: databases, ledger: ledger, cache: cache, now: time.now())
        }
        simulation.watch(
            isPending: { bus.hasPendingWork },
            pending: { bus.pendingWork.map { "\($0.count) of '\($0.topic)' for the group '\($0.group)'" } }
        )
        simulation.watch(isPending: { databases.hasPendingWork }, pending: { databases.pendingWork })
        simulation.watch { [weak self] in self?.nodes.withLock { $0 }.compactMap(\.inFlight) ?? [] }
        simulation.remark { [weak self] in self?.nodes.withLock { $0 }.compactMap(\.remark) ?? [] }
    }

    /// Decides order, faults, crashes, random numbers and identifiers.
    public var seed: UInt64 { simulation.seed }

    /// The clock.
    public var time: VirtualTime { simulation.time }

    /// What the parts of the library find as the current runtime during a run.
    public var runtime: Runtime { simulation.runtime }

    /// The transport, for everyone: an effect counts as that of the service whose task asks for it.
    public var bus: InMemoryTransport { surroundings.bus.fenced(by: fence) }

    /// A database, made when it is first asked for; for everyone, as ``bus`` is.
    ///
    /// - Parameter name: Names it within the world.
    /// - Returns: A handle.
    public func database(_ name: String = "main") -> InMemoryDatabase {
        surroundings.databases[name].fenced(by: fence)
    }

    /// The names of the databases, in the order in which they were made.
    public var databaseNames: [String] { surroundings.databases.all.map(\.name) }

    // MARK: Services

    /// Adds a service.
    ///
    /// It runs during each run of the world, from now on if one is under way.
    ///
    /// - Parameters:
    ///   - name: Names it in ``crash(_:downtime:)`` and in errors.
    ///   - factory: Builds an incarnation from the handles it is given. What is kept in memory between incarnations would
    ///     not survive a real crash.
    public func add(_ name: String, _ factory: @escaping @Sendable (Node) throws -> any Service) {
        let node = NodeRunner(name, in: surroundings, factory: factory)
        nodes.withLock { $0.append(node) }
        _ = starts.withLock { $0?.yield(node) }
    }

    /// Takes services out again.
    package func remove(_ services: Set<String>) {
        nodes.withLock { $0.removeAll { services.contains($0.name) } }
    }

    /// The names of the services, in the order in which they were added.
    public var services: [String] { nodes.withLock { $0.map(\.name) } }

    /// All that goes wrong by chance or by script.
    ///
    /// What the test itself does, outside the services, is spared.
    public var faults: FaultPlan {
        get { surroundings.injector.plan }
        set {
            surroundings.injector.plan = newValue
            surroundings.bus.setFaults(newValue.transport)
            surroundings.bus.letServicesPart(newValue.mayPartServices)
        }
    }

    /// Crashes by chance; the same as ``FaultPlan/crashes`` of ``faults``.
    public var crashes: CrashPlan {
        get { surroundings.injector.crashes }
        set { surroundings.injector.crashes = newValue }
    }

    /// What went wrong so far, in that order.
    public var injectedFaults: [Fault] { surroundings.injector.injected }

    /// Lets only these faults happen, as they are named in another run with the same seed and the same plan.
    ///
    /// - Parameter faults: The faults.
    public func allowOnly(_ faults: Set<Fault>) {
        surroundings.injector.allow(only: faults)
    }

    /// Ends all that goes wrong, lets nothing more go wrong, and starts the services that are down.
    public func heal() {
        surroundings.injector.heal()
        for node in nodes.withLock({ $0 }) { node.restart() }
    }

    /// Requires that something holds, from now on.
    ///
    /// - Parameter invariants: What must hold. The first one that does not ends the run with a ``SimulationError`` with
    ///   ``SimulationError/Code/invariantBroken``.
    public func require(_ invariants: Invariant...) {
        watch.add(invariants)
        // What the watch looks at leads back to whom this is given to.
        simulation.checkSteps { [weak watch] in watch?.step() }
    }

    // MARK: Choosing

    struct Pick: Sendable, Hashable {
        let value: Int
        let least: Int
    }

    /// Chooses how much of something there is, by the seed and the name alone.
    ///
    /// When a run fails, a ``GameDay`` looks for a smaller number with which it still does.
    ///
    /// - Parameters:
    ///   - name: What there is.
    ///   - range: How much there may be.
    /// - Returns: How much there is.
    public func pick(_ name: String, in range: ClosedRange<Int>) -> Int {
        picks.withLock { picks in
            if let pick = picks[name] {
                picks[name] = Pick(value: pick.value, least: range.lowerBound)
                return pick.value
            }
            var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ seed
            for byte in name.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
            var generator = SplitMix64(seed: hash)
            let value = range.lowerBound + generator.next(below: range.count)
            picks[name] = Pick(value: value, least: range.lowerBound)
            return value
        }
    }

    var picked: [String: Pick] {
        get { picks.withLock { $0 } }
        set { picks.withLock { $0 = newValue } }
    }

    /// Crashes a service now.
    ///
    /// Does nothing if it is down already.
    ///
    /// - Parameters:
    ///   - service: Its name.
    ///   - downtime: How long it stays down; until ``restart(_:)`` if `nil`.
    /// - Throws: ``SimulationError`` with ``SimulationError/Code/unknownService``.
    public func crash(_ service: String, downtime: Duration? = .zero) throws {
        try node(service).crash(downtime: downtime)
    }

    /// Crashes a service when it next asks for an effect, before that effect happens.
    ///
    /// - Parameters:
    ///   - service: Its name.
    ///   - effect: The effect, such as `publish` or `commit a transaction`.
    ///   - downtime: How long it stays down; until ``restart(_:)`` if `nil`.
    /// - Throws: ``SimulationError`` with ``SimulationError/Code/unknownService``.
    public func crash(_ service: String, before effect: String, downtime: Duration? = .zero) throws {
        surroundings.injector.appoint(try node(service).name, at: effect, downtime: downtime)
    }

    /// Counts the effects that services ask for from now on, and has one crash at one of them, to be restarted at once.
    ///
    /// - Parameter crash: The service that crashes, and before which of its effects, counted from 1.
    package func countEffects(crashing crash: (service: String, number: Int)? = nil) {
        surroundings.injector.count(EffectCount(crash: crash))
    }

    /// How many effects a service may ask for while they are counted.
    package static var mostCountedEffects: Int { EffectCount.most }

    /// The service that was stopped because it asked for more effects than one that ever comes to rest.
    package var stoppedService: String? { surroundings.injector.stopped }

    /// The effects that each service asked for since they are counted, in order.
    package var countedEffects: [String: [String]] { surroundings.injector.counted }

    /// Starts a service that is down after a crash.
    ///
    /// - Parameter service: Its name.
    /// - Throws: ``SimulationError`` with ``SimulationError/Code/unknownService``.
    public func restart(_ service: String) throws {
        try node(service).restart()
    }

    /// How often a service was started.
    ///
    /// - Parameter service: Its name.
    /// - Returns: 1 more than how often it crashed; 0 for a service that there is not.
    public func incarnations(of service: String) -> Int {
        nodes.withLock { $0 }.first { $0.name == service }?.incarnations ?? 0
    }

    private func node(_ service: String) throws -> NodeRunner {
        let nodes = nodes.withLock { $0 }
        if let node = nodes.first(where: { $0.name == service }) { return node }
        let names = nodes.map { "'\($0.name)'" }.joined(separator: ", ")
        throw simulation.error(.unknownService, "There is no service '\(service)'; there are: \(names).")
    }

    // MARK: Running

    /// Runs the services and a body, until the body has ended; then the services are cancelled and shut down.
    ///
    /// - Parameter body: Makes things happen and looks at what came of them.
    /// - Returns: What the body returned.
    /// - Throws: ``SimulationError``, with ``SimulationError/Code/serviceFailed`` if a service threw.
    public func run<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
        try await simulation.run { try await self.runNodes(beside: body) }
    }

    private enum Ended<Result: Sendable>: Sendable {
        case body(Result)
        case other
    }

    private func runNodes<Result: Sendable>(
        beside body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        let injector = surroundings.injector
        let nodes = open()
        injector.arm(true)
        defer {
            injector.arm(false)
            starts.withLock { $0 = nil }
        }
        return try await withThrowingTaskGroup(of: Ended<Result>.self) { group in
            group.addTask {
                try await withThrowingDiscardingTaskGroup { group in
                    for await node in nodes { group.addTask { try await node.run() } }
                }
                return .other
            }
            group.addTask {
                try await self.goWrongAtTimes()
                return .other
            }
            group.addTask {
                defer { injector.arm(false) }
                return .body(try await body())
            }
            var result: Result?
            while let ended = await group.nextResult() {
                switch ended {
                case .success(.body(let value)):
                    result = value
                    group.cancelAll()
                case .success(.other): continue
                case .failure(let error) where result != nil && error is CancellationError: continue
                case .failure(let error): throw error
                }
            }
            guard let result else { throw CancellationError() }
            return result
        }
    }

    /// The services to start: those that are there, and those added meanwhile.
    private func open() -> AsyncStream<NodeRunner> {
        let (nodes, starter) = AsyncStream<NodeRunner>.makeStream()
        for node in self.nodes.withLock({ $0 }) { starter.yield(node) }
        starts.withLock { $0 = starter }
        return nodes
    }

    private func goWrongAtTimes() async throws {
        let faults = TimedFaults(world: self, injector: surroundings.injector)
        try await faults.run()
    }

    /// The services that run now and may be chosen for something.
    func running(_ isMeant: (String) -> Bool) -> [String] {
        nodes.withLock { $0 }.filter(\.isRunning).map(\.name).filter(isMeant)
    }

    /// Waits until nothing is ready to run, no group has a message that is not settled, no database has an open transaction
    /// or work that is not done, and no crashed service is to start again.
    ///
    /// Time passes only as long as something is in flight; see ``Simulation/untilQuiet(horizon:)``. A message that is
    /// scheduled for later is in flight.
    ///
    /// - Parameter horizon: Does not wait for what happens later than this; without an end if `nil`.
    /// - Throws: `CancellationError` if the run ends; ``SimulationError`` with ``SimulationError/Code/notRunning``, or
    ///   ``SimulationError/Code/invariantBroken`` if all is quiet and something that was required does not hold.
    public func untilQuiet(horizon: Duration? = nil) async throws {
        try await simulation.untilQuiet(horizon: horizon)
        if inFlight.isEmpty, let broken = watch.atQuiet() { throw broken }
    }

    /// What should have come and has not; `nil` if nothing is missing.
    var missing: SimulationError? { watch.atEnd() }

    /// Lets time pass, and everything that is due in it come to rest.
    ///
    /// - Parameter duration: How long.
    /// - Throws: `CancellationError` if the run ends; ``SimulationError`` with ``SimulationError/Code/notRunning``.
    public func advance(by duration: Duration) async throws {
        try await simulation.advance(by: duration)
    }

    /// What is not done yet, in words.
    public var inFlight: [String] { simulation.inFlight }
}
