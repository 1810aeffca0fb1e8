// SPDX-License-Identifier: Apache-2.0

/// Several services that run side by side and are stopped one after the other.
///
/// They are started in the order in which they are listed. When the task is cancelled, or the process is sent SIGTERM or
/// SIGINT, they are stopped in the *reverse* order: each is cancelled only when the one behind it in the list has ended, within
/// the grace period that it has itself. So list first what others need, such as the relay before the consumers whose
/// messages it sends.
///
/// A service that throws has the others stopped in the same order, and its error is thrown then. One that returns by itself
/// is done; the others go on.
///
/// ```swift
/// try await Services(OutboxRelay(from: database, to: bus), payments, shipping).run()
/// ```
public struct Services: Service {
    private let services: [any Service]
    private var handlesSignals = true

    /// Groups services.
    ///
    /// - Parameter services: The services; stopped in the reverse order.
    public init(_ services: any Service...) {
        self.services = services
    }

    /// Groups services.
    ///
    /// - Parameter services: The services; stopped in the reverse order.
    public init(_ services: [any Service]) {
        self.services = services
    }

    /// Sets whether SIGTERM and SIGINT stop the services, which they do unless set.
    ///
    /// Under a virtual clock signals are left alone in any case.
    ///
    /// - Parameter handles: Whether signals are handled.
    /// - Returns: The changed group.
    public func handlingSignals(_ handles: Bool) -> Services {
        var copy = self
        copy.handlesSignals = handles
        return copy
    }

    /// Runs the services until all have ended: by themselves, by cancellation, by a signal or because one threw.
    ///
    /// The first signal stops the services in order, a second one ends the process at once. When all have ended, signals are
    /// handled as they were before.
    ///
    /// - Throws: What the first service that failed threw, after all have ended.
    public func run() async throws {
        let order = StopOrder(count: services.count)
        let signals = handlesSignals && Runtime.current.time is SystemTime ? StopSignals { order.stop() } : nil
        defer { signals?.end() }
        let services = services
        try await withCancellationShield {
            await withTaskGroup(of: Void.self) { group in
                for (index, service) in services.enumerated() {
                    group.addTask { await order.run(service, at: index) }
                }
                group.addTask { await order.stopAllWhenAsked() }
            }
        } onCancel: {
            order.stop()
        }
        if let failure = order.failure { throw failure }
    }
}

/// Lets services end one after the other, from the last to the first.
private final class StopOrder: Sendable {
    private struct State: Sendable {
        var isStopping = false
        var failure: (any Error)?
        /// Services from this index on have been told to stop.
        var firstStopped: Int
        var running: Set<Int>
        var waiters = WaiterList()
    }

    private let monitor: Monitor<State>

    init(count: Int) {
        monitor = Monitor(State(firstStopped: count, running: Set(0..<count)))
    }

    var failure: (any Error)? { monitor.withLock { $0.failure } }

    func stop() {
        update { $0.isStopping = true }
    }

    private func update(_ change: (inout State) -> Void) {
        monitor.withLock { state in
            change(&state)
            return state.waiters.wakeAll()
        }.resume()
    }

    /// Runs a service until it ends or it is its turn to be stopped.
    func run(_ service: any Service, at index: Int) async {
        do {
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    try await service.run()
                    return true
                }
                group.addTask {
                    try await self.monitor.wait(in: \.waiters) { $0.firstStopped <= index ? () : nil }
                    return false
                }
                let hasEnded = try await group.next()
                group.cancelAll()
                // An error at the end of a service that was stopped is one all the same.
                if hasEnded == false { _ = try await group.next() }
            }
            update { $0.running.remove(index) }
        } catch {
            let wasStopped = monitor.withLock { $0.firstStopped <= index }
            update { state in
                state.running.remove(index)
                if error is CancellationError, wasStopped || Task.isCancelled { return }
                if state.failure == nil { state.failure = error }
                state.isStopping = true
            }
        }
    }

    func stopAllWhenAsked() async {
        try? await monitor.wait(in: \.waiters) { $0.isStopping || $0.running.isEmpty ? () : nil }
        while true {
            let next = monitor.withLock { state in state.running.filter { $0 < state.firstStopped }.max() }
            guard let next else { return }
            update { $0.firstStopped = next }
            try? await monitor.wait(in: \.waiters) { $0.running.contains(next) ? nil : () }
        }
    }
}
