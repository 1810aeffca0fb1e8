// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Watches dead letters, and tells people of them: once when they come, once when all have left.
///
/// ```swift
/// let pager = try PagerDutyAlertSink(routingKey: key)
/// try await Services(payments, AlertMonitor(letters, service: "payments", sinks: [pager])).run()
/// ```
///
/// What was raised is kept in the database, so that any number of monitors raise an alert once, and a monitor that was down tells of
/// what came meanwhile. An alert is about one rule, queue and tier; a letter that comes while it stands raises none, whatever its
/// kind.
///
/// A sink that fails is told again at each look of what is so then, and keeps the others waiting for nothing. One that
/// was out of reach while an alert stood hears only that it is over.
public struct AlertMonitor<DB: DeadLetterDatabase & TableDatabase>: Service {
    private let queue: DeadLetterQueue<DB>
    private let service: String
    private let rules: [AlertRule]
    private let sinks: [any AlertSink]
    private let period: Duration
    private let ownRuntime: Runtime?

    /// Creates a monitor.
    ///
    /// - Parameters:
    ///   - queue: The letters.
    ///   - service: Names the service in alerts.
    ///   - rules: When to raise an alert; for any letter within five minutes unless given.
    ///   - sinks: Where to send alerts.
    ///   - period: How often to look; 15 seconds unless given. An alert comes that much after the letter at the latest.
    ///   - runtime: Where time comes from; the current task's if `nil`.
    public init(
        _ queue: DeadLetterQueue<DB>, service: String, rules: [AlertRule] = [.anyLetter], sinks: [any AlertSink],
        period: Duration = .seconds(15), runtime: Runtime? = nil
    ) {
        self.queue = queue
        self.service = service
        self.rules = rules
        self.sinks = sinks
        self.period = max(.milliseconds(1), period)
        ownRuntime = runtime
    }

    /// Watches until the task is cancelled.
    public func run() async throws {
        let runtime = ownRuntime ?? .current
        await Runtime.$current.withValue(runtime) {
            while !Task.isCancelled {
                do {
                    try await check()
                } catch {
                    if Task.isCancelled { return }
                    report(error, runtime)
                }
                guard (try? await runtime.time.sleep(for: period)) != nil else { return }
            }
        }
    }

    /// Looks once, and sends what there is to tell.
    ///
    /// A sink that fails is told of to the instrument, and the alert is sent again the next time.
    ///
    /// - Throws: `DatabaseError`; `CancellationError`.
    public func check() async throws {
        let runtime = ownRuntime ?? .current
        let watch = AlertWatch(
            queue: queue, service: service, rules: rules, now: runtime.time.now(), patience: period * 4)
        for alert in try await watch.findDue(owner: runtime.makeUUID().description) {
            var delivered = alert.delivered
            for (index, sink) in sinks.enumerated() where !delivered.contains(index) {
                // Another may have told the end of it by now.
                guard try await watch.renew(alert, at: runtime.time.now()) else { break }
                do {
                    try await sink.send(alert.alert)
                    delivered.insert(index)
                } catch {
                    if Task.isCancelled { throw CancellationError() }
                    report(error, runtime)
                }
            }
            let isSent = delivered.count >= sinks.count
            if try await watch.settle(alert, delivered: delivered, of: sinks.count), isSent {
                runtime.instrument?.record(DeadLetterAlertSent(alert.alert))
            }
        }
        try await watch.finish()
    }

    private func report(_ error: any Error, _ runtime: Runtime) {
        guard let instrument = runtime.instrument else { return }
        let text = FailureDetail(error, of: nil, runtime: runtime).inFlight.message
        instrument.record(DeadLetterAlertFailed(service: service, error: text))
    }
}
