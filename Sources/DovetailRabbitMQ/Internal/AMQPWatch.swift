// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dispatch
    import DovetailCore

    #if canImport(Darwin)
        import Darwin
    #elseif canImport(Musl)
        import Musl
    #else
        import Glibc
    #endif

    /// Cuts a connection that calls of librabbitmq hold a thread up with for too long; on a thread of its own.
    ///
    /// A broker that is short of memory or disk space reads nothing from those who publish, for as long as that lasts, and
    /// goes on sending heartbeats. The library then waits for room to write without any limit.
    final class AMQPWatch: Sendable {
        private struct State: Sendable {
            /// Of the connection that the calls are about; `nil` between calls.
            var cutter: AMQPCutter?
            /// When the calls that go on are to be over, if they are limited.
            var deadline: MonotonicInstant?
            /// When the last call is to be over; `nil` while there is no end in sight.
            var end: MonotonicInstant?
            var hasEnded = false

            func isLate(at now: MonotonicInstant) -> Bool {
                if let deadline, now > deadline { return true }
                if let end, now > end { return true }
                return false
            }
        }

        private let time: any TimeSource
        private let pause: Duration
        private let state = Monitor(State())
        private let ending = DispatchSemaphore(value: 0)

        /// - Parameters:
        ///   - limit: The shortest time that calls may take.
        ///   - time: By which that is measured.
        init(limit: Duration, time: any TimeSource) {
            self.time = time
            // A tenth more hardly matters, and a program that has nothing to do is woken once a second.
            pause = min(Duration.seconds(1), max(Duration.milliseconds(20), limit / 10))
        }

        // MARK: For the thread that is watched

        /// Notes that calls begin, or go on.
        func begin(_ cutter: AMQPCutter?, until deadline: MonotonicInstant?) {
            state.withLock { state in
                state.cutter = cutter
                state.deadline = deadline
            }
        }

        /// Notes that no call goes on.
        func rest() { state.withLock { $0.cutter = nil } }

        // MARK: The end

        /// Has all calls be over by an instant, also the one that goes on.
        func end(by instant: MonotonicInstant) { state.withLock { $0.end = instant } }

        /// Ends the watch, and lets go of the connection.
        func stop() {
            state.withLock { state in
                state.hasEnded = true
                state.cutter = nil
            }
            ending.signal()
        }

        // MARK: For the thread that watches

        func run() {
            while !state.withLock({ $0.hasEnded }) {
                _ = ending.wait(timeout: .now() + .nanoseconds(Int(clamping: pause.nanoseconds)))
                cutIfLate()
            }
        }

        private func cutIfLate() {
            let now = time.monotonic()
            let late = state.withLock { $0.isLate(at: now) ? $0.cutter : nil }
            late?.cut()
        }
    }

    /// Cuts a connection from another thread than the one that uses it.
    ///
    /// It has a number of its own for the socket. That of the library may be closed by the library at any moment, and be
    /// that of another file by the time at which the connection is to be cut.
    final class AMQPCutter: Sendable {
        private let number: Int32

        /// - Returns: `nil` if the system gives no more files to the process.
        init?(of socket: Int32) {
            let copy = dup(socket)
            guard copy >= 0 else { return nil }
            _ = fcntl(copy, F_SETFD, FD_CLOEXEC)
            number = copy
        }

        deinit { close(number) }

        /// Ends both directions; who waits to read or write comes back with an error.
        func cut() { shutdown(number, Int32(SHUT_RDWR)) }
    }
#endif
