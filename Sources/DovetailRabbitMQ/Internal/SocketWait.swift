// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import DovetailCore

    #if canImport(Darwin)
        import Darwin
    #elseif canImport(Musl)
        import Musl
    #else
        import Glibc
    #endif

    /// Waits for a socket on a thread of one's own, until another thread says that it need not.
    final class SocketWait: Sendable {
        private let readEnd: Int32
        private let writeEnd: Int32

        init() throws(TransportError) {
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else {
                throw TransportError(
                    .unavailable,
                    "The system gives no more files to this process. Raise its limit of open files, or open fewer connections."
                )
            }
            for end in ends {
                _ = fcntl(end, F_SETFD, FD_CLOEXEC)
                _ = fcntl(end, F_SETFL, O_NONBLOCK)
            }
            (readEnd, writeEnd) = (ends[0], ends[1])
        }

        deinit {
            close(readEnd)
            close(writeEnd)
        }

        /// Ends the wait that goes on, or the next one.
        func interrupt() {
            var byte: UInt8 = 1
            // A pipe that is full wakes as well.
            _ = write(writeEnd, &byte, 1)
        }

        /// Waits until something has come over the socket, it has failed, or something else ends the wait.
        ///
        /// - Parameters:
        ///   - socket: The socket; -1 to wait for the interruption alone.
        ///   - milliseconds: The longest wait.
        func wait(for socket: Int32, atMost milliseconds: Int32) {
            var entries = (
                // A negative number is passed over.
                pollfd(fd: socket, events: Int16(POLLIN), revents: 0),
                pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)
            )
            let count = withUnsafeMutablePointer(to: &entries) { pointer in
                pointer.withMemoryRebound(to: pollfd.self, capacity: 2) { poll($0, 2, milliseconds) }
            }
            guard count > 0, entries.1.revents != 0 else { return }
            var bytes: [UInt8] = Array(repeating: 0, count: 64)
            while read(readEnd, &bytes, bytes.count) > 0 {}
        }
    }
#endif
