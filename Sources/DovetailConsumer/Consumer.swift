// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Reads messages from a transport and hands each to the handler that its type and major version name.
///
/// Messages of one topic and partition key are handled one after the other, in their order; all others side by side. Every
/// message is handled at least once. What a handler throws decides what comes next:
///
/// - *Transient*, which is everything not known to be otherwise: it is tried again, first at once and then after delays, as
///   the policy of ``retrying(_:longestRetryAfter:)`` says; later messages of its key wait. When the attempts are used up,
///   it goes to the dead letters.
/// - *Permanent*, such as a payload that cannot be decoded: it goes to the dead letters now.
/// - *Cancelled*, at the end of the grace period: it is given back and comes again.
///
/// ```swift
/// let payments = Consumer("payments", on: bus) {
///     On(OrderPlaced.self) { order, context in
///         try await gateway.charge(order.cents, key: context.messageID.rawValue)
///     }
/// }
/// .retrying(.exponential(from: .milliseconds(100), attempts: 5))
/// .deadLettering(to: DeadLetterQueue(in: database))
///
/// try await payments.run()
/// ```
///
/// A consumer is a value; each modifier returns a changed copy. Run as many copies of it as you like, in this process or in
/// others: those of one name share the work as members of one group.
public struct Consumer: Service {
    /// The name of the consumer, under which its copies form a group.
    public let name: String

    /// Its routes.
    public let routes: [On]

    let transport: any Transport
    var settings = ConsumerSettings()

    /// Creates a consumer.
    ///
    /// - Parameters:
    ///   - name: The name under which its copies form a group. Keep it for the life of the service: a new name starts with the
    ///     oldest message.
    ///   - transport: Where to read.
    ///   - routes: What it takes.
    public init(_ name: String, on transport: some Transport, @RouteBuilder routes: () -> [On]) {
        self.name = name
        self.transport = transport
        self.routes = routes()
    }

    /// Reads and handles messages until the task is cancelled, then shuts down in order and returns.
    ///
    /// At shutdown nothing more is taken, and handlers that run may finish within the ``gracePeriod(_:)``; they see no
    /// cancellation until it ends. What was not handled then goes back to the transport or the waiting room.
    ///
    /// - Throws: ``ConsumerError`` with ``ConsumerError/Code/noRoutes``, ``ConsumerError/Code/duplicateRoute``,
    ///   ``ConsumerError/Code/invalidRoute``, ``ConsumerError/Code/invalidName`` or ``ConsumerError/Code/noWaitingRoom`` if it
    ///   cannot start, ``ConsumerError/Code/unknownMessage`` if it was told to fail then; `TransportError` when the transport is gone for
    ///   good. What is transient is tried again.
    public func run() async throws {
        let table = try RouteTable(routes, of: name)
        if settings.parksFollowers, settings.waitingRoom == nil, table.waitingRoom == nil {
            throw ConsumerError(
                .noWaitingRoom,
                "The consumer '\(name)' is to park followers of dead letters, but has nowhere to park them. "
                    + "Add `.waiting(in: database)`.")
        }
        let runtime = settings.runtime ?? .current
        try await Runtime.$current.withValue(runtime) {
            let run = ConsumerRun(name: name, table: table, transport: transport, settings: settings, runtime: runtime)
            try await withCancellationShield {
                try await run.run()
            } onCancel: {
                run.stop()
            }
        }
    }
}

// MARK: - What can be set

extension Consumer {
    /// Sets how often a message is tried, and after how long.
    ///
    /// Unless set, a message is tried three times at once and five times more over about a quarter of a minute.
    ///
    /// A message over which the process ends comes again as well. Once it was handed out twenty times more often than
    /// the policy tries it, by a transport that counts or by the waiting room, it goes to the dead letters as *poison*.
    ///
    /// All that a process has in hand when it ends counts as handed out, where the transport counts also what was only
    /// read ahead. A process that ends over and over therefore makes that look tried as well: such messages have fewer
    /// attempts left than the policy gives them, and in the end go to the dead letters beside the one that is at fault.
    /// A smaller ``prefetch(_:)`` keeps their number small.
    ///
    /// - Parameters:
    ///   - policy: The policy.
    ///   - longestRetryAfter: The longest wait that an error may ask for, see `RetryAfterProviding`: the message is tried
    ///     again after this time although the error asks for more, since those behind it wait as well. 10 minutes unless set.
    /// - Returns: The changed consumer.
    public func retrying(_ policy: some RetryPolicy, longestRetryAfter: Duration = .seconds(600)) -> Consumer {
        with {
            $0.retryPolicy = policy
            $0.longestRetryAfter = longestRetryAfter
        }
    }

    /// Sets how failures are classified.
    ///
    /// - Parameter rule: Says what an error means; `nil` for those it has no opinion on, which the standard rules then decide.
    /// - Returns: The changed consumer.
    public func classifying(_ rule: @escaping @Sendable (any Error) -> FailureClass?) -> Consumer {
        with { $0.classifier = FailureClassifier(rule) }
    }

    /// Sets how failures are classified, and under which reason messages are kept that cannot be handled.
    ///
    /// - Parameter classifier: The classifier.
    /// - Returns: The changed consumer.
    public func classifying(by classifier: FailureClassifier) -> Consumer {
        with { $0.classifier = classifier }
    }

    /// Sets where messages are kept that cannot be handled.
    ///
    /// A message is acknowledged only after its letter was captured. Without a sink it is rejected, which some transports
    /// take as a reason to keep it and others to drop it; one that has waited in the waiting room, so that the transport no
    /// longer has it, goes to the dead letters of that room's database.
    ///
    /// - Parameters:
    ///   - sink: Where to keep them.
    ///   - parksFollowers: Whether later messages of the same key wait until somebody deals with the dead letter, in the
    ///     waiting room that the consumer then needs; see ``WaitingRoom/release(_:of:for:)``.
    /// - Returns: The changed consumer.
    public func deadLettering(to sink: some DeadLetterSink, parkingFollowers parksFollowers: Bool = false) -> Consumer {
        with {
            $0.sink = sink
            $0.parksFollowers = parksFollowers
        }
    }

    /// Sets where messages with a key wait for a retry, and their followers with them.
    ///
    /// Without a waiting room a message that waits holds back later ones of its key in the transport, and in some transports
    /// those of other keys too. Routes that are given a database bring its waiting room with them, so that this is needed only
    /// for consumers that have no such route.
    ///
    /// - Parameter database: Where to wait.
    /// - Returns: The changed consumer.
    public func waiting(in database: some WaitingRoomDatabase) -> Consumer {
        with { $0.waitingRoom = WaitingRoom(in: database) }
    }

    /// Sets how the waiting room is worked through.
    ///
    /// - Parameters:
    ///   - lease: How long a claim lasts; it is renewed as long as the handler runs. When a process ends without giving its claims
    ///     back, its messages wait this long. 30 seconds unless set.
    ///   - interval: How often to look for messages that others made due; 1 second unless set.
    /// - Returns: The changed consumer.
    public func waitingRoom(lease: Duration = .seconds(30), pollingEvery interval: Duration = .seconds(1)) -> Consumer {
        with {
            $0.lease = max(.milliseconds(10), lease)
            $0.pollInterval = max(.milliseconds(1), interval)
        }
    }

    /// Sets how many messages are handled at once; 16 unless set.
    ///
    /// - Parameter count: How many; at least 1.
    /// - Returns: The changed consumer.
    public func concurrency(_ count: Int) -> Consumer {
        with { $0.concurrency = max(1, count) }
    }

    /// Sets how many messages are taken from the transport ahead of their turn; eight times the concurrency unless set.
    ///
    /// - Parameter count: How many are in hand at most, those that are being handled included; at least 1.
    /// - Returns: The changed consumer.
    public func prefetch(_ count: Int) -> Consumer {
        with { $0.prefetch = max(1, count) }
    }

    /// Adds to what stands around the handlers.
    ///
    /// - Parameter middleware: The first in the list is outermost, within what was added before.
    /// - Returns: The changed consumer.
    public func middleware(_ middleware: [any ConsumerMiddleware]) -> Consumer {
        with { $0.middleware += middleware }
    }

    /// Adds to what stands around the handlers.
    ///
    /// - Parameter middleware: Stands within what was added before.
    /// - Returns: The changed consumer.
    public func middleware(_ middleware: some ConsumerMiddleware) -> Consumer {
        with { $0.middleware.append(middleware) }
    }

    /// Sets how long running handlers may go on at shutdown; 20 seconds unless set.
    ///
    /// - Parameter period: How long.
    /// - Returns: The changed consumer.
    public func gracePeriod(_ period: Duration) -> Consumer {
        with { $0.gracePeriod = max(.zero, period) }
    }

    /// Sets what becomes of messages of a type that no route takes; they are ignored unless set.
    ///
    /// - Parameter treatment: What becomes of them.
    /// - Returns: The changed consumer.
    public func unknownMessages(_ treatment: UnknownMessages) -> Consumer {
        with { $0.unknownMessages = treatment }
    }

    /// Sets what reads payloads; JSON unless set.
    ///
    /// - Parameter codec: What reads payloads.
    /// - Returns: The changed consumer.
    public func codec(_ codec: some PayloadCodec) -> Consumer {
        with { $0.codec = codec }
    }

    /// Sets where time, chance and identifiers come from; the runtime of the task that runs it unless set.
    ///
    /// - Parameter runtime: The runtime, also of the handlers.
    /// - Returns: The changed consumer.
    public func runtime(_ runtime: Runtime) -> Consumer {
        with { $0.runtime = runtime }
    }

    private func with(_ change: (inout ConsumerSettings) -> Void) -> Consumer {
        var copy = self
        change(&copy.settings)
        return copy
    }
}
