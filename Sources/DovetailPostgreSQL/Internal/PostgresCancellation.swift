// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQL
    import DovetailCore
    import Dispatch

    /// A request to a server to cancel what it does on a connection.
    ///
    /// It goes out on a connection of its own, which may hang like the first; so it has a thread of its own too.
    final class PostgresCancellation: Sendable {
        private let done = DispatchGroup()

        private final class Request: @unchecked Sendable {
            // Safe to share: it is made here and used on the thread of the request only, which frees it.
            let pointer: OpaquePointer

            init(_ pointer: OpaquePointer) {
                self.pointer = pointer
            }
        }

        init(of connection: OpaquePointer) {
            guard let pointer = PQgetCancel(connection) else { return }
            let request = Request(pointer)
            DispatchQueue(label: "dovetail.postgresql.cancellation").async(group: done) {
                var complaint = [CChar](repeating: 0, count: 256)
                _ = PQcancel(request.pointer, &complaint, Int32(complaint.count))
                PQfreeCancel(request.pointer)
            }
        }

        /// Waits until the server has taken the request, on a thread that may block.
        ///
        /// - Returns: Whether it has, or will not any more.
        func wait(atMost limit: Duration) -> Bool {
            done.wait(timeout: .now() + .nanoseconds(Int(clamping: limit.nanoseconds))) == .success
        }
    }
#endif
