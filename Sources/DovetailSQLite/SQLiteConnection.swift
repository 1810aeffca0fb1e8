// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    public import DovetailSQL
    import Synchronization

    /// A connection to a SQLite file, with a thread of its own.
    public final class SQLiteConnection: SQLConnection {
        private let thread: ConnectionThread
        private let handle: Confined
        private let busyWait: SQLiteBusyWait
        /// Whether a transaction may be open, so that one need not change threads to hear that none is.
        private let mayBeInTransaction = Atomic(false)

        /// What may be used on the connection's thread only.
        private final class Confined: @unchecked Sendable {
            // Safe to share: `value` is used by jobs of the connection's thread, which run one after the other, and by `deinit`,
            // when no job is left.
            let value: SQLiteHandle

            init(_ value: SQLiteHandle) {
                self.value = value
            }
        }

        private init(_ handle: Confined, thread: ConnectionThread, busyWait: SQLiteBusyWait) {
            self.handle = handle
            self.thread = thread
            self.busyWait = busyWait
        }

        /// The connection's thread.
        public var executor: (any TaskExecutor)? { thread }

        static func open(
            _ path: String, for access: SQLAccess, _ configuration: SQLiteConfiguration
        ) async throws -> SQLiteConnection {
            let thread = ConnectionThread(access == .writing ? "dovetail.sqlite.writer" : "dovetail.sqlite.reader")
            let busyWait = SQLiteBusyWait(limit: configuration.busyTimeout)
            let handle = try await thread.run {
                Confined(try SQLiteHandle(path: path, access: access, configuration: configuration, busyWait: busyWait))
            }
            return SQLiteConnection(handle, thread: thread, busyWait: busyWait)
        }

        /// Runs a statement to its end.
        ///
        /// - Parameter statement: The statement.
        /// - Returns: Its rows and how many it changed.
        /// - Throws: `DatabaseError`; `CancellationError` if the task is cancelled while it waits for another program.
        public func run(_ statement: SQLStatement) async throws -> SQLResult {
            try await withCancellableWait(for: statement) {
                try await thread.run { [self] in try execute(statement) }
            }
        }

        /// Runs a statement; on the connection's thread only.
        private func execute(_ statement: SQLStatement) throws -> SQLResult {
            defer { mayBeInTransaction.store(handle.value.hasTransaction, ordering: .relaxed) }
            return try handle.value.run(statement)
        }

        /// Runs statements one after the other, up to the first that fails, without a change of thread in between.
        ///
        /// - Parameter statements: The statements.
        /// - Returns: What each led to; the last is the failure, if one failed.
        public func run(_ statements: [SQLStatement]) async -> [Result<SQLResult, any Error>] {
            do {
                return try await withCancellableWait(for: statements.first) {
                    try await thread.run { [self] in
                        var results: [Result<SQLResult, any Error>] = []
                        results.reserveCapacity(statements.count)
                        for statement in statements {
                            let result = Result { try execute(statement) }
                            results.append(result)
                            if case .failure = result { break }
                        }
                        return results
                    }
                }
            } catch {
                return [.failure(error)]
            }
        }

        /// Only the beginning of a transaction may wait for another program and give up; all else comes to its end.
        private func withCancellableWait<Value: Sendable>(
            for statement: SQLStatement?, _ body: () async throws -> Value
        ) async throws -> Value {
            guard statement?.text == "BEGIN IMMEDIATE" else { return try await body() }
            busyWait.begin()
            defer { busyWait.end() }
            return try await withTaskCancellationHandler {
                try await body()
            } onCancel: {
                busyWait.cancel()
            }
        }

        /// Whether no transaction is open, after ending one that was left open.
        func isIdle() async -> Bool {
            guard mayBeInTransaction.load(ordering: .relaxed) else { return true }
            mayBeInTransaction.store(false, ordering: .relaxed)
            let isIdle = try? await thread.run { [handle] in handle.value.endTransaction() }
            return isIdle ?? false
        }

        func backUp(to path: String) async throws {
            let stop = SQLiteBusyWait(limit: .zero)
            try await withTaskCancellationHandler {
                try await thread.run { [handle] in
                    try handle.value.backUp(to: path, isCancelled: { stop.isCancelled })
                }
            } onCancel: {
                stop.cancel()
            }
        }

        func close() async {
            _ = try? await thread.run { [handle] in handle.value.close() }
        }
    }
#endif
