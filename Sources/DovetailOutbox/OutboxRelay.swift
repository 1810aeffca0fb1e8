// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Publishes the messages of an outbox to a transport.
///
/// Run one, or several in any number of processes; each message is published at least once, and the first arrivals of a topic and
/// partition key keep their order. A message is repeated, under the same identifier, when a relay ends between publishing it and
/// noting so.
///
/// ```swift
/// try await Services(OutboxRelay(from: database, to: bus), payments).run()
/// ```
///
/// A wake-up after each commit makes it quick, and polling makes it sure. A message the transport does not take is tried again
/// later and holds up only its own key; in the end it goes to the dead letters. While nothing at all gets through, the relay
/// slows down and tries a few messages at a time. It never holds a transaction open while it talks to the transport.
///
/// When its task is cancelled it claims nothing more, finishes the batches in hand within
/// ``OutboxRelaySettings/grace``, releases the rest and returns.
public struct OutboxRelay<DB: OutboxDatabase, Destination: Transport>: Service {
    private let database: DB
    private let transport: Destination
    private let name: String
    private let deadLetters: (any DeadLetterSink)?
    private let settings: OutboxRelaySettings
    private let runtime: Runtime?

    /// Creates a relay.
    ///
    /// - Parameters:
    ///   - database: Where the outbox is.
    ///   - transport: Where to publish.
    ///   - name: Names the relay in dead letters and events.
    ///   - deadLetters: Takes the messages that cannot be published; the database's own dead letters if `nil`. If it has none
    ///     either, such a message stays in the outbox, is tried again and again, and holds up its key.
    ///   - settings: How it works.
    ///   - runtime: Where time and chance come from; the current task's if `nil`.
    public init(
        from database: DB,
        to transport: Destination,
        name: String = "outbox-relay",
        deadLetters: (any DeadLetterSink)? = nil,
        settings: OutboxRelaySettings = OutboxRelaySettings(),
        runtime: Runtime? = nil
    ) {
        self.database = database
        self.transport = transport
        self.name = name
        self.deadLetters = deadLetters ?? (database as? any DeadLetterDatabase)?.makeDeadLetterSink()
        self.settings = settings
        self.runtime = runtime
    }

    /// Publishes until the task is cancelled.
    public func run() async throws {
        let runtime = runtime ?? .current
        await Runtime.$current.withValue(runtime) {
            await RelayRun(
                store: database.outboxStore, transport: transport, name: name, deadLetters: deadLetters,
                settings: settings,
                runtime: runtime
            ).untilCancelled()
        }
    }

    /// Says how many messages wait, for how long, and how many were given up.
    ///
    /// - Returns: How the outbox stands.
    /// - Throws: ``DatabaseError``.
    public func health() async throws -> OutboxStatistics {
        try await database.outboxStore.statistics()
    }
}

extension DeadLetterDatabase {
    fileprivate func makeDeadLetterSink() -> any DeadLetterSink { DeadLetterQueue(in: self) }
}
