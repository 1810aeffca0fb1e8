// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    public import DovetailCore
    import DovetailSQL
    import Synchronization

    /// Has a relay look at once when another program has appended to the outbox, instead of at its next poll.
    ///
    /// Run one in each program that appends and in each that relays:
    ///
    /// ```swift
    /// try await Services(OutboxRelay(from: database, to: bus), PostgresNotifier(database)).run()
    /// ```
    ///
    /// After commits it tells the others by `NOTIFY`, at most once in each interval however many commits there were, and never within
    /// a transaction, where all commits would wait for each other. What it tells is a hint: when notifications do not come
    /// through, the relays go on polling, an event says so, and it tries again.
    public struct PostgresNotifier: Service {
        private let database: PostgresDatabase
        private let address: String?
        private let interval: Duration

        /// Creates a notifier.
        ///
        /// - Parameters:
        ///   - database: The database whose outbox it is about.
        ///   - address: The server itself, if the database is reached through a pooler, which does not pass notifications on in
        ///     transaction mode; the address of the database if `nil`.
        ///   - interval: The least time between two notifications of this program.
        public init(
            _ database: PostgresDatabase, directly address: String? = nil, interval: Duration = .milliseconds(5)
        ) {
            self.database = database
            self.address = address
            self.interval = max(.zero, interval)
        }

        private var channel: String { database.outboxStore.name }

        /// Listens and tells until the task is cancelled.
        ///
        /// - Throws: `CancellationError`.
        public func run() async throws {
            let runtime = Runtime.current
            let backoff = ExponentialBackoff(
                from: .milliseconds(100), upTo: .seconds(30), jitter: .half, attempts: .max)
            var failures = 0
            while true {
                try Task.checkCancellation()
                do {
                    try await listen { failures = 0 }
                } catch let error as DatabaseError {
                    failures += 1
                    runtime.instrument?.record(
                        PostgresNotificationsFailed(channel: channel, code: error.code, message: error.message))
                    try await runtime.time.sleep(for: backoff.delay(after: failures, random: runtime.random))
                }
            }
        }

        private func listen(_ onSuccess: () -> Void) async throws {
            let pool = database.pool
            let server = try address.map { try PostgresAddress($0) } ?? (try pool.server)
            let connection = try await PostgresConnection.open(server, pool.configuration)
            do {
                _ = try await connection.run(SQLStatement("LISTEN \"\(channel)\"", []))
                try await checkThatTheyComeThrough(on: connection, to: server)
                onSuccess()
                // Some may have come while nobody listened.
                database.outboxStore.wakeUp?.notify()
                try await serve(connection)
            } catch {
                await connection.close()
                throw error
            }
        }

        private func checkThatTheyComeThrough(on connection: PostgresConnection, to server: PostgresAddress)
            async throws
        {
            let mark = Runtime.current.makeUUID().description
            // By another connection: a pooler may well give one what it has told itself.
            try await database.pool.withConnection(for: .reading) { try await notify(mark, on: $0) }
            let deadline = SystemTime().monotonic() + .seconds(5)
            while SystemTime().monotonic() < deadline {
                if try await connection.notifications(until: deadline).contains(mark) { return }
                try Task.checkCancellation()
            }
            throw DatabaseError(
                .unsupported,
                "Notifications do not come through from the server at \(server.shown). If a pooler stands in between, give "
                    + "PostgresNotifier the address of the server itself. Until then relays poll."
            )
        }

        private func notify(_ text: String, on connection: PostgresConnection) async throws {
            _ = try await connection.run(SQLStatement("SELECT pg_notify($1, $2)", [.text(channel), .text(text)]))
        }

        private func serve(_ connection: PostgresConnection) async throws {
            let (appended, wakeUp) = (database.outboxStore.appended, database.outboxStore.wakeUp)
            let isToTell = Shared(Atomic(false))
            // To know one's own, which need not be listened to.
            let name = Runtime.current.makeUUID().description
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while true {
                        try await appended.wait()
                        isToTell.value.store(true, ordering: .releasing)
                        connection.poke()
                    }
                }
                defer { group.cancelAll() }
                while true {
                    try Task.checkCancellation()
                    if isToTell.value.exchange(false, ordering: .acquiring) {
                        try await notify(name, on: connection)
                        try await SystemTime().sleep(for: interval)
                    }
                    let isPending = isToTell.value.load(ordering: .acquiring)
                    let now = SystemTime().monotonic()
                    let heard = try await connection.notifications(until: now + (isPending ? .zero : .seconds(60)))
                    if heard.contains(where: { $0 != name }) { wakeUp?.notify() }
                }
            }
        }

        /// Gives a value that cannot be copied to several tasks.
        private final class Shared: Sendable {
            let value: Atomic<Bool>

            init(_ value: consuming Atomic<Bool>) {
                self.value = value
            }
        }
    }
#endif
