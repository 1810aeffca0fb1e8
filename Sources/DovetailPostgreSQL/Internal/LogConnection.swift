// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    import DovetailSQL

    /// A connection that reads the log, with a thread of its own that waits for the socket.
    final class LogConnection: Sendable {
        private let thread: ConnectionThread
        private let handle: Confined
        private let wait: SocketWait
        /// What was published before, as far as it counts on this server.
        let start: LogProgress

        /// What may be used on the connection's thread only.
        private final class Confined: @unchecked Sendable {
            // Safe to share: `value` is used by jobs of the connection's thread, which run one after the other, and by `deinit`,
            // when no job is left.
            let value: LogHandle

            init(_ value: LogHandle) {
                self.value = value
            }
        }

        private init(_ handle: Confined, start: LogProgress, thread: ConnectionThread, wait: SocketWait) {
            self.handle = handle
            self.start = start
            self.thread = thread
            self.wait = wait
        }

        static func open(
            _ address: PostgresAddress, _ configuration: PostgresConfiguration, source: LogSource
        ) async throws -> LogConnection {
            let thread = ConnectionThread("dovetail.postgresql.log")
            guard let wait = SocketWait() else { throw PostgresFailure.noMoreFiles }
            let (handle, start) = try await withTaskCancellationHandler {
                try await thread.run {
                    let handle = try LogHandle(address, configuration, wait: wait, source: source)
                    return (Confined(handle), handle.start)
                }
            } onCancel: {
                wait.interrupt()
            }
            return LogConnection(handle, start: start, thread: thread, wait: wait)
        }

        /// Reads messages; none if none comes within a time, or the task is cancelled.
        func read(atMost most: Int, within limit: Duration) async throws -> LogBatch {
            let deadline = SystemTime().monotonic() + limit
            return try await withTaskCancellationHandler {
                try await thread.run { [handle] in try handle.value.read(atMost: most, until: deadline) }
            } onCancel: {
                wait.poke()
            }
        }

        func confirm(_ position: LogPosition) async throws {
            try await thread.run { [handle] in try handle.value.confirm(position) }
        }

        func reply() async throws {
            try await thread.run { [handle] in try handle.value.reply() }
        }

        func close() async {
            _ = try? await thread.run { [handle] in handle.value.close() }
        }
    }
#endif
