// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Keeps one service of a world running: starts it, brings it down when it crashes, and starts it again.
final class NodeRunner: Sendable {
    typealias Factory = @Sendable (Node) throws -> any Service

    private enum Phase: Sendable {
        case idle
        case running(Incarnation)
        /// It has crashed and is to start again, by itself or not.
        case down(startsAgain: Bool)
        case ended
        case failed(String)
    }

    private struct State: Sendable {
        var phase = Phase.idle
        var count = 0
        var waiters = WaiterList()
    }

    let name: String
    private let factory: Factory
    private let world: NodeSurroundings
    private let monitor = Monitor(State())

    init(_ name: String, in world: NodeSurroundings, factory: @escaping Factory) {
        self.name = name
        self.world = world
        self.factory = factory
    }

    /// How often the service was started.
    var incarnations: Int { monitor.withLock(\.count) }

    var isRunning: Bool {
        monitor.withLock { state in
            if case .running(let incarnation) = state.phase { incarnation.downtime == nil } else { false }
        }
    }

    /// What is to happen here before all is quiet.
    var inFlight: String? {
        switch monitor.withLock(\.phase) {
        case .running(let incarnation) where incarnation.downtime != nil:
            "the service '\(name)' is being brought down after a crash"
        case .down(startsAgain: true): "the service '\(name)' is to start again"
        case .failed(let reason): "the service '\(name)' failed: \(reason)"
        case .idle, .running, .down, .ended: nil
        }
    }

    /// What explains, beside what is in flight, why nothing goes on.
    var remark: String? {
        switch monitor.withLock(\.phase) {
        case .down(startsAgain: false): "the service '\(name)' is down until it is restarted"
        case .ended: "the service '\(name)' has returned"
        case .idle, .running, .down, .failed: nil
        }
    }

    /// - Returns: `false` if it does not run now.
    @discardableResult
    func crash(downtime: Duration?) -> Bool {
        let incarnation = monitor.withLock { state -> Incarnation? in
            if case .running(let incarnation) = state.phase { incarnation } else { nil }
        }
        guard let incarnation, incarnation.downtime == nil else { return false }
        incarnation.crash(downtime: downtime)
        return true
    }

    /// Starts a service that is down.
    func restart() {
        monitor.withLock { state -> Wakeup in
            if case .down = state.phase { state.phase = .idle }
            return state.waiters.wakeAll()
        }.resume()
    }

    // MARK: Running

    /// Runs the service, again after each crash, until it returns or the task is cancelled.
    func run() async throws {
        while true {
            let incarnation = begin()
            let outcome = await run(incarnation)
            if let downtime = incarnation.downtime {
                // What a crashed incarnation ends with means nothing.
                guard !Task.isCancelled else { return end(.ended) }
                try await stayDown(for: downtime)
                continue
            }
            switch outcome {
            case .success: return end(.ended)
            case .failure(let error) where Task.isCancelled && error is CancellationError: return end(.ended)
            case .failure(let error):
                end(.failed("\(error)"))
                throw world.failure(of: name, error)
            }
        }
    }

    private func begin() -> Incarnation {
        let incarnation = monitor.withLock { state in
            state.count += 1
            let incarnation = Incarnation(service: name, number: state.count, in: world)
            state.phase = .running(incarnation)
            return incarnation
        }
        world.runtime.instrument?.record(ServiceStarted(service: name, incarnation: incarnation.number))
        return incarnation
    }

    private func end(_ phase: Phase) {
        monitor.withLock { $0.phase = phase }
    }

    /// Runs the service until it has ended; a crash cancels its task.
    private func run(_ incarnation: Incarnation) async -> Result<Void, any Error> {
        // An orderly end has a grace period; a crash has none.
        let abort = AbortSwitch()
        return await Incarnation.$current.withValue(incarnation) {
            await withTaskGroup(of: Result<Void, any Error>?.self) { group in
                group.addTask {
                    do {
                        let node = Node(incarnation: incarnation, world: self.world)
                        let service = try self.factory(node)
                        return .success(try await AbortSwitch.$current.withValue(abort) { try await service.run() })
                    } catch {
                        return .failure(error)
                    }
                }
                group.addTask {
                    if (try? await incarnation.waitForCrash()) != nil { abort.abort() }
                    return nil
                }
                var outcome = Result<Void, any Error>.success(())
                for await ended in group {
                    group.cancelAll()
                    if let ended { outcome = ended }
                }
                return outcome
            }
        }
    }

    private func stayDown(for downtime: Duration?) async throws {
        end(.down(startsAgain: downtime != nil))
        try await withThrowingTaskGroup(of: Void.self) { group in
            if let downtime { group.addTask { try await self.world.time.sleep(for: downtime) } }
            group.addTask {
                try await self.monitor.wait(in: \.waiters) { state in
                    if case .idle = state.phase { () } else { nil }
                }
            }
            try await group.next()
            group.cancelAll()
        }
    }
}

/// What all services of a world have in common.
struct NodeSurroundings: Sendable {
    let bus: InMemoryTransport
    let databases: Databases
    let time: VirtualTime
    let escapeGuard: EscapeGuard
    let injector: FaultInjector
    let runtime: Runtime
    let seed: UInt64

    func failure(of service: String, _ error: any Error) -> SimulationError {
        if let error = error as? SimulationError, error.code == .escapedWork { return error }
        return SimulationError(.serviceFailed, "The service '\(service)' threw.", seed: seed, cause: error)
    }
}
