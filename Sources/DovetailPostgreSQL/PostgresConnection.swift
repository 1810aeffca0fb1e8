// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    public import DovetailSQL
    import Synchronization

    /// A connection to a PostgreSQL server, with a thread of its own that waits for the socket.
    public final class PostgresConnection: SQLConnection {
        private let thread: ConnectionThread
        private let handle: Confined
        private let wait: SocketWait
        private let socket: Int32
        /// Whether a transaction may be open, so that one need not change threads to hear that none is.
        private let mayNeedEnd = Atomic(false)

        /// What may be used on the connection's thread only.
        private final class Confined: @unchecked Sendable {
            // Safe to share: `value` is used by jobs of the connection's thread, which run one after the other, and by `deinit`,
            // when no job is left.
            let value: PostgresHandle

            init(_ value: PostgresHandle) {
                self.value = value
            }
        }

        private init(_ handle: Confined, thread: ConnectionThread, wait: SocketWait, socket: Int32) {
            self.handle = handle
            self.thread = thread
            self.wait = wait
            self.socket = socket
        }

        /// The connection's thread.
        public var executor: (any TaskExecutor)? { thread }

        static func open(
            _ address: PostgresAddress, _ configuration: PostgresConfiguration
        ) async throws -> PostgresConnection {
            let thread = ConnectionThread("dovetail.postgresql")
            guard let wait = SocketWait() else { throw PostgresFailure.noMoreFiles }
            let (handle, socket) = try await withTaskCancellationHandler {
                try await thread.run {
                    let handle = try PostgresHandle(address, configuration, wait: wait)
                    return (Confined(handle), handle.socket)
                }
            } onCancel: {
                wait.interrupt()
            }
            // What came when it was open already is not for the next task that uses it.
            wait.reset()
            return PostgresConnection(handle, thread: thread, wait: wait, socket: socket)
        }

        /// Runs a statement to its end.
        ///
        /// When the task is cancelled meanwhile, the server is asked to give the statement up, which ends the transaction. A statement
        /// that begins in a task that was cancelled before runs to its end.
        ///
        /// - Parameter statement: The statement.
        /// - Returns: Its rows and how many it changed.
        /// - Throws: `DatabaseError`; `CancellationError` if it was given up.
        public func run(_ statement: SQLStatement) async throws -> SQLResult {
            guard let result = await run([statement]).last else {
                throw DatabaseError(.unavailable, "The connection gave no result.")
            }
            return try result.get()
        }

        /// Runs statements one after the other, up to the first that fails; they travel together.
        ///
        /// - Parameter statements: The statements.
        /// - Returns: What each led to; the last is the failure, if one failed.
        public func run(_ statements: [SQLStatement]) async -> [Result<SQLResult, any Error>] {
            mayNeedEnd.store(true, ordering: .relaxed)
            // Whether a transaction has committed must be known, and a roll-back must be possible.
            let isEnd = statements.last.map { ["COMMIT", "ROLLBACK"].contains($0.text) } ?? true
            guard !isEnd, !Task.isCancelled else { return await perform(statements) }
            defer { wait.reset() }
            return await withTaskCancellationHandler {
                await perform(statements)
            } onCancel: {
                wait.interrupt()
            }
        }

        private func perform(_ statements: [SQLStatement]) async -> [Result<SQLResult, any Error>] {
            do {
                return try await thread.run { [self] in
                    let results = handle.value.run(statements)
                    mayNeedEnd.store(handle.value.needsEnd, ordering: .relaxed)
                    return results
                }
            } catch {
                return [.failure(error)]
            }
        }

        /// Waits for notifications, until a moment has come or ``poke()`` is called.
        ///
        /// - Returns: The texts that came with them.
        func notifications(until deadline: MonotonicInstant) async throws -> [String] {
            try await withTaskCancellationHandler {
                try await thread.run { [handle] in try handle.value.notifications(until: deadline) }
            } onCancel: {
                wait.poke()
            }
        }

        /// Ends the wait for notifications.
        func poke() {
            wait.poke()
        }

        /// Whether no transaction is open, after ending one that was left open.
        func isIdle() async -> Bool {
            guard mayNeedEnd.load(ordering: .relaxed) else { return true }
            mayNeedEnd.store(false, ordering: .relaxed)
            let isIdle = try? await thread.run { [handle] in handle.value.endTransaction() }
            return isIdle ?? false
        }

        /// Whether the server is still there.
        ///
        /// - Parameter isAsking: Whether to ask it, or only to look at whether it has said something.
        /// - Returns: Whether it is.
        func isAlive(isAsking: Bool) async -> Bool {
            guard isAsking || SocketWait.hasInput(socket) else { return true }
            let isAlive = try? await thread.run { [handle] in handle.value.isAlive(isAsking: isAsking) }
            return isAlive ?? false
        }

        func close() async {
            _ = try? await thread.run { [handle] in handle.value.close() }
        }
    }
#endif
