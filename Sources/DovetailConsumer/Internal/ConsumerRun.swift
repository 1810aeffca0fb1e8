// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// One run of a ``Consumer``, from subscribing to leaving the group.
///
/// One task pulls batches, a fixed number of them handle, one settles what was handled in batches, one looks after the waiting
/// room. All they share is one value behind one lock.
final class ConsumerRun: Sendable {
    let monitor: Monitor<State>
    let name: String
    let topics: [Topic]
    let transport: any Transport
    /// The transport, if messages are taken from its carrier and restored right before they are handled.
    let restoring: (any PayloadRestoringTransport)?
    let capabilities: TransportCapabilities
    let settings: ConsumerSettings
    let runtime: Runtime
    let chain: HandlerChain
    let room: (any WaitingRoomAccess)?
    /// Where messages go that have waited and cannot be handled: the transport no longer has them, so that nothing could be rejected.
    let roomSink: (any DeadLetterSink)?
    /// Wakes the task that looks after the waiting room.
    let roomWakeUp = WakeUp()
    /// Wakes the task that looks after what is held back here.
    let heldWakeUp = WakeUp()

    init(name: String, table: RouteTable, transport: any Transport, settings: ConsumerSettings, runtime: Runtime) {
        self.name = name
        topics = table.topics
        self.transport = transport
        restoring = transport as? any PayloadRestoringTransport
        capabilities = transport.capabilities
        self.settings = settings
        self.runtime = runtime
        let waitingRoom = settings.waitingRoom ?? table.waitingRoom
        room = waitingRoom?.store
        roomSink = settings.sink ?? waitingRoom?.letters
        monitor = Monitor(State(prefetch: settings.effectivePrefetch))
        chain = HandlerChain(
            consumer: name, table: table, transport: transport, restoring: restoring, settings: settings,
            runtime: runtime,
            immediateRetries: settings.immediateRetries)
    }

    // MARK: From start to end

    func run() async throws {
        guard let subscription = try await subscribe() else { return }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.part { try await self.pull(from: subscription) } }
            group.addTask { await self.part { try await self.settle(on: subscription) } }
            group.addTask { await self.handleAll() }
            if let room { group.addTask { await self.lookAfter(room) } }
            if !capabilities.delaysDelivery { group.addTask { await self.part { try await self.releaseHeld() } } }
        }
        await subscription.close()
        if let failure = monitor.withLock({ $0.failure }) { throw failure }
    }

    /// Stops taking messages; running handlers go on until the grace period ends.
    func stop() {
        end(with: nil)
    }

    func end(with failure: (any Error)?) {
        let wakeUps = monitor.withLock { state -> [Wakeup] in
            if state.failure == nil { state.failure = failure }
            guard !state.isStopping else { return [] }
            state.isStopping = true
            // Others can have at once what waits for nothing that is being handled here.
            state.release(state.dispatch.takeReady().compactMap(\.delivery), counting: countsReleases)
            return [
                state.workers.wakeAll(), state.puller.wakeAll(), state.stop.wakeAll(), state.settler.wakeAll(),
            ]
        }
        for wakeUp in wakeUps { wakeUp.resume() }
    }

    /// Whether the transport counts a delivery that was released, so that this must be made up for here.
    var countsReleases: Bool { capabilities.countsDeliveries && !capabilities.releasesUncounted }

    var isStopping: Bool { monitor.withLock { $0.isStopping } }

    /// Runs a part of the consumer; what the part cannot go on after ends the whole, in order.
    private func part(_ body: () async throws -> Void) async {
        do {
            try await body()
            stop()
        } catch is CancellationError {
            stop()
        } catch {
            end(with: error)
        }
    }

    func waitForStop() async throws {
        try await monitor.wait(in: \.stop) { $0.isStopping ? () : nil }
    }

    /// Runs a body that is cancelled when the consumer stops.
    func untilStopped(_ body: @escaping @Sendable () async throws -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await body() }
            group.addTask { try await self.waitForStop() }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    /// Keeps trying what fails in a way that may pass; once the consumer stops, only a few times more.
    func persistently<Result: Sendable>(
        _ operation: String, _ body: () async throws -> Result
    ) async throws -> Result {
        var failures = 0
        var failuresAtEnd = 0
        while true {
            do {
                return try await body()
            } catch let error where Self.mayPass(error) {
                failures += 1
                report(error, during: operation)
                if isStopping { failuresAtEnd += 1 }
                if failuresAtEnd == Self.mostFailuresAtEnd { throw error }
                try await runtime.time.sleep(for: troubleDelay(after: failures))
            }
        }
    }

    private static let mostFailuresAtEnd = 5

    /// Whether trying the same again can succeed; what other than a transport or a database says is given the chance.
    static func mayPass(_ error: any Error) -> Bool {
        switch error {
        case is CancellationError: false
        case let error as TransportError: error.code.isTransient
        case let error as DatabaseError: error.code.isTransient
        default: true
        }
    }

    /// How long to wait before what failed for want of a transport or a database is tried again.
    func troubleDelay(after failures: Int) -> Duration {
        ExponentialBackoff.ofTrouble.delay(after: failures, random: runtime.random)
    }

    func report(_ error: any Error, during operation: String) {
        guard let instrument = runtime.instrument else { return }
        let text = runtime.redacted(String(describing: error), of: nil)
        instrument.record(ConsumerOperationFailed(consumer: name, operation: operation, error: text))
    }

    /// - Returns: `nil` if the consumer was stopped first.
    private func subscribe() async throws -> (any TransportSubscription)? {
        do {
            return try await withThrowingTaskGroup(of: (any TransportSubscription)?.self) { group in
                group.addTask {
                    try await self.persistently("subscribe") {
                        try await (self.restoring?.carrier ?? self.transport).subscribe(
                            to: self.topics, as: ConsumerGroup(self.name))
                    }
                }
                group.addTask {
                    try await self.waitForStop()
                    return nil
                }
                var subscription: (any TransportSubscription)?
                if let first = try await group.next() { subscription = first }
                group.cancelAll()
                // A subscription that came together with the end is to be closed, not dropped.
                while let other = try? await group.next() { subscription = subscription ?? other }
                return subscription
            }
        } catch is CancellationError {
            return nil
        }
    }

    // MARK: Handling

    /// Runs the workers; they are cancelled when the grace period has passed.
    private func handleAll() async {
        await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<settings.concurrency {
                group.addTask {
                    while let ticket = await self.nextTicket() { await self.perform(ticket) }
                    return true
                }
            }
            group.addTask {
                try? await self.waitForStop()
                try? await self.runtime.time.sleep(for: self.settings.gracePeriod)
                return false
            }
            var running = settings.concurrency
            while running > 0, let isWorker = await group.next() {
                if isWorker {
                    running -= 1
                } else {
                    monitor.withLock { $0.isGraceOver = true }
                    group.cancelAll()
                }
            }
            group.cancelAll()
        }
        monitor.withLock { state in
            state.release(state.held.map(\.delivery), counting: countsReleases)
            state.held = []
            state.release(state.dispatch.takeAll().compactMap(\.delivery), counting: countsReleases)
            state.haveWorkersEnded = true
            return state.settler.wakeAll()
        }.resume()
        roomWakeUp.notify()
    }

    private func nextTicket() async -> Ticket? {
        try? await monitor.wait(in: \.workers) { state -> Ticket?? in
            if state.isStopping { return .some(nil) }
            return state.dispatch.start().map { .some($0) }
        }
    }

    private func perform(_ ticket: Ticket) async {
        switch ticket.item {
        case .delivery(let delivery, let attempts): await handle(delivery, attempts: attempts, ticket)
        case .waiting(let claim): await handle(claim, ticket)
        }
    }
}

extension ExponentialBackoff {
    /// How long to wait for a transport, a database or a sink that cannot be reached.
    static let ofTrouble = ExponentialBackoff(from: .milliseconds(100), upTo: .seconds(10), attempts: .max)
}
