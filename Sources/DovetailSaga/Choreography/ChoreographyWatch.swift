// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
public import DovetailCore

/// Follows the conversations of a ``Choreography`` from the side, and says when one has stalled.
///
/// In a choreography nobody is in charge, so nobody notices that nothing comes any more. The watch reads the events of the flow in a
/// group of its own, keeps what it saw of each conversation, and knows from the flow what must come next and by when.
///
/// ```swift
/// let watch = ChoreographyWatch(checkout, on: bus, in: database)
///     .alerting { alert in try await pager.send(alert.message, key: alert.key) }
///
/// try await Services(watch, ChoreographyWatchSweeper(watch)).run()
/// ```
///
/// A stall is raised once, on time, and resolved once when the hop comes after all. Messages may come twice and in any order, and the
/// watch may be restarted, or run several times over: what it knows is in its database. Time counts from when the watch saw a
/// message, so that one that was away for a while does not take what it finds for late.
///
/// Conversations are told apart by their correlation identifier, which everything has that is published while a message is
/// handled. The watch only reads: it can be added to services that know nothing of it, however they are written.
public struct ChoreographyWatch<DB: TableDatabase>: Service {
    /// Takes an alert.
    public typealias AlertHandler = @Sendable (ConversationAlert) async throws -> Void

    /// The flow.
    public let flow: Choreography

    let database: DB
    private let transport: any Transport
    private(set) var handler: AlertHandler?
    private(set) var retryInterval: Duration = .seconds(30)
    private var pollInterval: Duration = .seconds(1)
    let wakeUp = WakeUp()

    /// Creates a watch.
    ///
    /// - Parameters:
    ///   - flow: The flow. Its name names the watch's consumer group and tables.
    ///   - transport: Where the events are.
    ///   - database: Where to keep what was seen; need not be one of those of the participants.
    public init(_ flow: Choreography, on transport: some Transport, in database: DB) {
        self.flow = flow
        self.transport = transport
        self.database = database
    }

    /// Sets who is told of stalls.
    ///
    /// Each is told of at least once, the raising before the resolving; a repeat has the same ``ConversationAlert/key``. Without
    /// one, the instrument is told, and ``stalled(limit:)`` lists them.
    ///
    /// - Parameters:
    ///   - interval: After what time an alert is told again that could not be told, or whose teller ended meanwhile.
    ///   - handler: Takes an alert; what it throws means that it was not told.
    /// - Returns: The changed watch.
    public func alerting(againAfter interval: Duration = .seconds(30), _ handler: @escaping AlertHandler) -> Self {
        var copy = self
        copy.handler = handler
        copy.retryInterval = max(.milliseconds(1), interval)
        return copy
    }

    /// Sets how often to look for what other copies of the watch have seen; a second unless set.
    ///
    /// - Parameter interval: The longest wait.
    /// - Returns: The changed watch.
    public func polling(every interval: Duration) -> Self {
        var copy = self
        copy.pollInterval = max(.milliseconds(1), interval)
        return copy
    }

    /// Watches until the task is cancelled.
    ///
    /// - Throws: ``ChoreographyError`` with ``ChoreographyError/Code/unsoundFlow`` if the flow has no events; `ConsumerError` and
    ///   `TransportError` as a consumer does. While the database is away it tries again.
    public func run() async throws {
        guard !flow.events.isEmpty else {
            throw ChoreographyError(.unsoundFlow, "The flow '\(flow.name)' has no events to watch. Declare its hops.")
        }
        let consumer = Consumer("watch.\(flow.name)", on: transport) { routes }
            .retrying(.exponential(from: .milliseconds(100), upTo: .seconds(30), attempts: 100_000))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await consumer.run() }
            group.addTask { try await raiseUntilCancelled() }
            defer { group.cancelAll() }
            try await group.next()
            group.cancelAll()
            // Both end in order.
            while let ended = await group.nextResult() {
                if case .failure(let error) = ended, !(error is CancellationError) { throw error }
            }
        }
    }

    /// The routes by which it sees the events.
    private var routes: [DovetailConsumer.On] {
        flow.events.map { event in
            DovetailConsumer.On(type: event.type, version: event.version, topic: event.topic) { incoming in
                try await see(incoming)
            }
            .repeatingConflicts()
        }
    }

    private func raiseUntilCancelled() async throws {
        let runtime = Runtime.current
        try await catchUp(runtime.time)
        while !Task.isCancelled {
            do {
                let wait = try await raiseDue()
                try await wakeUp.wait(atMost: min(pollInterval, wait ?? pollInterval), time: runtime.time)
            } catch is CancellationError where Task.isCancelled {
                return
            } catch {
                runtime.instrument?.record(
                    ChoreographyWatchFailed(flow.name, error: FailureDetail(error, of: nil, runtime: runtime).message))
                try await runtime.time.sleep(for: pollInterval)
            }
        }
    }

    /// Waits until it has seen what was published while it was away, which may be what it waits for.
    private func catchUp(_ time: any TimeSource) async throws {
        guard let transport = transport as? any BacklogReportingTransport else {
            return try await time.sleep(for: Self.longestCatchUp / 10)
        }
        let start = time.monotonic()
        let topics = flow.events.map(\.topic).uniqued()
        while time.monotonic() - start < Self.longestCatchUp {
            // A transport that does not answer is the consumer's trouble.
            let backlog = (try? await transport.backlog(of: ConsumerGroup("watch.\(flow.name)"), on: topics)) ?? 0
            if backlog == 0 { return }
            try await time.sleep(for: .milliseconds(50))
        }
    }

    /// After what time it raises alerts although it has not caught up.
    private static var longestCatchUp: Duration { .seconds(30) }
}
