// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    public import DovetailSQL

    /// The connections to one PostgreSQL server.
    ///
    /// They are opened when they are first needed, used again, and replaced when they are lost.
    public final class PostgresConnectionPool: SQLConnectionPool {
        private struct Idle: Sendable {
            let connection: PostgresConnection
            let since: MonotonicInstant
        }

        private struct State: Sendable {
            var isClosed = false
            /// Those that were used last come last, and are used first.
            var idle: [Idle] = []
            /// Those lent out within the limit.
            var busy = 0
            var waiters = WaiterList()
            /// All lent out.
            var lent = 0
            var closers = WaiterList()

            mutating func wakeClosers() -> Wakeup? {
                isClosed && lent == 0 ? closers.wakeAll() : nil
            }
        }

        @TaskLocal private static var lending: [ObjectIdentifier] = []

        /// PostgreSQL.
        public var dialect: SQLDialect { .postgreSQL }

        let configuration: PostgresConfiguration
        private let address: Result<PostgresAddress, any Error>
        private let monitor = Monitor(State())

        init(address: String, configuration: PostgresConfiguration) {
            self.configuration = configuration
            self.address = Result { try PostgresAddress(address) }
        }

        /// Lends a connection for the time of a body.
        ///
        /// - Parameters:
        ///   - access: What the connection is for.
        ///   - body: Uses the connection.
        /// - Returns: What the body returned.
        /// - Throws: What the body throws; `DatabaseError` with `unavailable` if there is none to be had within
        ///   ``PostgresConfiguration/longestWait``, or with the code of what failed; `CancellationError`.
        public func withConnection<Result>(
            for access: SQLAccess, _ body: (PostgresConnection) async throws -> Result
        ) async throws -> Result {
            // Whoever has a connection already must not wait for one: all could be with those who do the same.
            let isNested = Self.lending.contains(ObjectIdentifier(self))
            let deadline = SystemTime().monotonic() + configuration.longestWait
            var connection = try await take(isNested: isNested)
            defer { giveBack(connection, isNested: isNested) }
            return try await Self.$lending.withValue(Self.lending + [ObjectIdentifier(self)]) {
                let usable = try await usable(connection, until: deadline)
                connection = usable
                let result = await outcome(of: body, on: usable)
                if await !usable.isIdle() { connection = nil }
                return try result.get()
            }
        }

        private func outcome<Value>(
            of body: (PostgresConnection) async throws -> Value, on connection: PostgresConnection
        ) async -> Result<Value, any Error> {
            do { return .success(try await body(connection)) } catch { return .failure(error) }
        }

        private static var closed: DatabaseError {
            DatabaseError(.closed, "The database was closed. Open a new PostgresDatabase to go on.")
        }

        // MARK: Lending

        /// - Returns: A connection that was used before; `nil` if one is to be opened.
        private func take(isNested: Bool) async throws -> PostgresConnection? {
            let turn = try monitor.withLock { state throws(DatabaseError) -> WaiterList.ID? in
                if state.isClosed { throw Self.closed }
                if isNested { return nil }
                if state.busy == configuration.mostConnections { return state.waiters.reserve() }
                state.busy += 1
                return nil
            }
            // Whoever is woken has been handed the place, so that no newcomer can take it first.
            if let turn { try await wait(for: turn) }
            let (connection, isClosed) = monitor.withLock { state in
                state.lent += 1
                return (state.idle.popLast(), state.isClosed)
            }
            guard !isClosed else {
                giveBack(connection?.connection, isNested: isNested)
                throw Self.closed
            }
            guard let connection else { return nil }
            let age = SystemTime().monotonic() - connection.since
            if await connection.connection.isAlive(isAsking: age >= configuration.checkAfterIdle) {
                return connection.connection
            }
            // When one is dead, the server may have been restarted, and all are.
            return nil
        }

        /// Waits for a place, which the one who gives it back hands over.
        private func wait(for turn: WaiterList.ID) async throws {
            let (monitor, limit, time) = (monitor, configuration.longestWait, Runtime.current.time)
            let isServed = try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask { await monitor.suspend(turn, in: \.waiters) }
                group.addTask {
                    try? await time.sleep(for: limit)
                    return false
                }
                let first = try await group.next() ?? false
                group.cancelAll()
                // A place that was handed over together with the end of the wait must not be dropped.
                let second = try await group.next() ?? false
                return first || second
            }
            if isServed { return }
            try Task.checkCancellation()
            throw DatabaseError(
                .unavailable,
                "All \(configuration.mostConnections) connections were in use for \(limit). Keep transactions short, and do nothing "
                    + "slow within them; or raise 'mostConnections'."
            )
        }

        private func giveBack(_ connection: PostgresConnection?, isNested: Bool) {
            let now = SystemTime().monotonic()
            let (next, closers) = monitor.withLock { state -> (Wakeup?, Wakeup?) in
                state.lent -= 1
                if let connection, state.idle.count < configuration.mostConnections {
                    state.idle.append(Idle(connection: connection, since: now))
                }
                if isNested { return (nil, state.wakeClosers()) }
                let next = state.waiters.wakeFirst()
                if next.count == 0 { state.busy -= 1 }
                return (next, state.wakeClosers())
            }
            next?.resume()
            closers?.resume()
        }

        // MARK: Connecting

        private static let backoff = ExponentialBackoff(
            from: .milliseconds(20), upTo: .seconds(1), jitter: .half, attempts: .max)

        private func usable(
            _ connection: PostgresConnection?, until deadline: MonotonicInstant
        ) async throws -> PostgresConnection {
            if let connection { return connection }
            let address = try address.get()
            let runtime = Runtime.current
            var attempt = 1
            while true {
                do {
                    return try await PostgresConnection.open(address, configuration)
                } catch let error as DatabaseError where error.code == .unavailable {
                    // A server that is being restarted comes back within seconds.
                    let pause = Self.backoff.delay(after: attempt, random: runtime.random)
                    guard SystemTime().monotonic() + pause < deadline else { throw error }
                    try await runtime.time.sleep(for: pause)
                    attempt += 1
                }
            }
        }

        // MARK: The whole

        /// Where the server is.
        var server: PostgresAddress {
            get throws { try address.get() }
        }

        /// How many wait for a connection.
        var waiting: Int { monitor.withLock(\.waiters.count) }

        func close() async {
            // Whoever waits for a place still gets it, and is refused then.
            monitor.withLock { $0.isClosed = true }
            let monitor = monitor
            // Not given up when the task is cancelled: what has begun comes to its end first in any case.
            let connections = try? await withCancellationShield {
                try await monitor.wait(in: \.closers) { state -> [Idle]? in
                    guard state.lent == 0 else { return nil }
                    defer { state.idle = [] }
                    return state.idle
                }
            } onCancel: {
            }
            for idle in connections ?? [] { await idle.connection.close() }
        }
    }
#endif
