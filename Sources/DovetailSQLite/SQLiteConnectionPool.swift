// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import CSQLite
    import DovetailCore
    public import DovetailSQL

    /// The connections to one SQLite file: one that writes, and some that read.
    ///
    /// Each has a thread of its own, so that nothing blocks those on which tasks run. Connections are opened when they are first
    /// needed.
    public final class SQLiteConnectionPool: SQLConnectionPool {
        private struct State: Sendable {
            var isClosed = false
            var isWriting = false
            var writer: SQLiteConnection?
            var writers = WaiterList()
            var idleReaders: [SQLiteConnection] = []
            /// Those lent out within the limit.
            var busyReaders = 0
            var readers = WaiterList()
            /// All connections lent out.
            var lent = 0
            var closers = WaiterList()

            mutating func wakeClosers() -> Wakeup? {
                isClosed && lent == 0 ? closers.wakeAll() : nil
            }
        }

        @TaskLocal private static var lending: [ObjectIdentifier] = []

        /// SQLite.
        public var dialect: SQLDialect { .sqlite }

        private let path: String
        private let configuration: SQLiteConfiguration
        private let monitor = Monitor(State())

        init(path: String, configuration: SQLiteConfiguration) {
            self.path = path
            self.configuration = configuration
        }

        /// Lends a connection for the time of a body.
        ///
        /// - Parameters:
        ///   - access: What the connection is for.
        ///   - body: Uses the connection.
        /// - Returns: What the body returned.
        /// - Throws: What the body throws; `DatabaseError` if the file cannot be opened; `CancellationError`.
        public func withConnection<Result>(
            for access: SQLAccess, _ body: (SQLiteConnection) async throws -> Result
        ) async throws -> Result {
            switch access {
            case .writing:
                try await takeTurn()
                defer { passTurn() }
                return try await Self.$lending.withValue(Self.lending + [ObjectIdentifier(self)]) {
                    let connection = try await writer()
                    let result = await outcome(of: body, on: connection)
                    if await !connection.isIdle() { discardWriter() }
                    return try result.get()
                }
            case .reading:
                // Whoever has a connection already must not wait for one: all could be with those who do the same.
                let isNested = Self.lending.contains(ObjectIdentifier(self))
                var connection = try await takeReader(isNested: isNested)
                defer { giveBack(connection, isNested: isNested) }
                return try await Self.$lending.withValue(Self.lending + [ObjectIdentifier(self)]) {
                    let reader: SQLiteConnection
                    if let connection {
                        reader = connection
                    } else {
                        reader = try await open(.reading)
                        connection = reader
                    }
                    let result = await outcome(of: body, on: reader)
                    if await !reader.isIdle() { connection = nil }
                    return try result.get()
                }
            }
        }

        private func outcome<Value>(
            of body: (SQLiteConnection) async throws -> Value, on connection: SQLiteConnection
        ) async -> Result<Value, any Error> {
            do { return .success(try await body(connection)) } catch { return .failure(error) }
        }

        private func open(_ access: SQLAccess) async throws -> SQLiteConnection {
            try await SQLiteConnection.open(path, for: access, configuration)
        }

        private static var closed: DatabaseError {
            DatabaseError(.closed, "The database was closed. Open a new SQLiteDatabase to go on.")
        }

        // MARK: The one that writes

        private func takeTurn() async throws {
            let turn = try monitor.withLock { state throws(DatabaseError) -> WaiterList.ID? in
                if state.isClosed { throw Self.closed }
                if state.isWriting { return state.writers.reserve() }
                state.isWriting = true
                return nil
            }
            // Whoever is woken has been handed the turn, so that no newcomer can take it first.
            if let turn, await !monitor.suspend(turn, in: \.writers) { throw CancellationError() }
            let isClosed = monitor.withLock { state in
                state.lent += 1
                return state.isClosed
            }
            guard !isClosed else {
                passTurn()
                throw Self.closed
            }
        }

        private func passTurn() {
            let (next, closers) = monitor.withLock { state in
                state.lent -= 1
                let next = state.writers.wakeFirst()
                state.isWriting = next.count > 0
                return (next, state.wakeClosers())
            }
            next.resume()
            closers?.resume()
        }

        private func writer() async throws -> SQLiteConnection {
            if let writer = monitor.withLock({ $0.writer }) { return writer }
            let writer = try await open(.writing)
            monitor.withLock { $0.writer = writer }
            return writer
        }

        private func discardWriter() {
            // It closes with its last reference.
            monitor.withLock { $0.writer = nil }
        }

        // MARK: Those that read

        /// - Returns: An open connection; `nil` if one is to be opened.
        private func takeReader(isNested: Bool) async throws -> SQLiteConnection? {
            let turn = try monitor.withLock { state throws(DatabaseError) -> WaiterList.ID? in
                if state.isClosed { throw Self.closed }
                if isNested { return nil }
                if state.busyReaders == configuration.readers { return state.readers.reserve() }
                state.busyReaders += 1
                return nil
            }
            if let turn, await !monitor.suspend(turn, in: \.readers) { throw CancellationError() }
            let (connection, isClosed) = monitor.withLock { state in
                state.lent += 1
                return (state.idleReaders.popLast(), state.isClosed)
            }
            guard !isClosed else {
                giveBack(connection, isNested: isNested)
                throw Self.closed
            }
            return connection
        }

        private func giveBack(_ connection: SQLiteConnection?, isNested: Bool) {
            let (next, closers) = monitor.withLock { state -> (Wakeup?, Wakeup?) in
                state.lent -= 1
                if let connection, state.idleReaders.count < configuration.readers {
                    state.idleReaders.append(connection)
                }
                if isNested { return (nil, state.wakeClosers()) }
                let next = state.readers.wakeFirst()
                if next.count == 0 { state.busyReaders -= 1 }
                return (next, state.wakeClosers())
            }
            next?.resume()
            closers?.resume()
        }

        // MARK: The whole

        /// How many wait for their turn to write.
        var waitingWriters: Int { monitor.withLock(\.writers.count) }

        func backUp(to path: String) async throws {
            try await withConnection(for: .reading) { connection in try await connection.backUp(to: path) }
        }

        func close() async {
            // Whoever waits for a turn still gets it, and is refused then.
            monitor.withLock { $0.isClosed = true }
            // Not given up when the task is cancelled: what has begun comes to its end first in any case.
            let connections = await withoutCancellation {
                try? await self.monitor.wait(in: \.closers) { state -> [SQLiteConnection]? in
                    guard state.lent == 0 else { return nil }
                    defer { (state.writer, state.idleReaders) = (nil, []) }
                    return state.idleReaders + (state.writer.map { [$0] } ?? [])
                }
            }
            // The one that writes closes last and tidies up the log.
            for connection in connections ?? [] { await connection.close() }
        }

        private func withoutCancellation<Value: Sendable>(
            _ body: @escaping @Sendable () async -> Value?
        ) async -> Value? {
            (try? await withCancellationShield(body, onCancel: {})) ?? nil
        }
    }
#endif
