// SPDX-License-Identifier: Apache-2.0

import Synchronization

#if canImport(Darwin)
    import Darwin
#elseif canImport(Musl)
    import Musl
#else
    import Glibc
#endif

/// Waits for a socket on a thread of one's own, until another thread says that it need not.
///
/// A thread that waits in `poll` and then reads what has come needs no change of threads between the two.
package final class SocketWait: Sendable {
    package enum Outcome: Sendable {
        case ready, timedOut, interrupted
    }

    private let readEnd: Int32
    private let writeEnd: Int32
    private let interruption = Atomic(false)

    /// Creates a wait; `nil` if the system gives no more files to the process.
    package init?() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
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

    /// Whether it was interrupted since ``reset()``.
    package var isInterrupted: Bool { interruption.load(ordering: .acquiring) }

    /// Ends the wait that goes on, or the next one.
    package func interrupt() {
        interruption.store(true, ordering: .releasing)
        poke()
    }

    /// Ends the wait that goes on, without saying that what is waited for is to be given up.
    package func poke() {
        var byte: UInt8 = 1
        // A pipe that is full wakes as well.
        _ = write(writeEnd, &byte, 1)
    }

    /// From here on nothing is interrupted.
    package func reset() {
        guard interruption.exchange(false, ordering: .acquiringAndReleasing) else { return }
        drain()
    }

    private func drain() {
        var bytes: [UInt8] = Array(repeating: 0, count: 64)
        while read(readEnd, &bytes, bytes.count) > 0 {}
    }

    /// Waits until the socket is ready, has failed, or something else ends the wait.
    ///
    /// - Parameters:
    ///   - socket: The socket; -1 to wait for something else alone.
    ///   - isReading: Whether it is ready when something has come.
    ///   - isWriting: Whether it is ready when there is room to write.
    ///   - deadline: When to give up.
    /// - Returns: What has ended the wait.
    @discardableResult
    package func wait(
        for socket: Int32, isReading: Bool = true, isWriting: Bool = false, until deadline: MonotonicInstant
    ) -> Outcome {
        let time = SystemTime()
        let events = Int16((isReading ? POLLIN : 0) | (isWriting ? POLLOUT : 0))
        while true {
            let left = (deadline - time.monotonic()).nanoseconds
            guard left > 0 else { return .timedOut }
            var entries = (
                pollfd(fd: socket, events: events, revents: 0),
                pollfd(fd: readEnd, events: Int16(POLLIN), revents: 0)
            )
            // Rounded up, so that it is not called again for a rest of less than a millisecond.
            let milliseconds = Int32(clamping: left / 1_000_000 + 1)
            let count = withUnsafeMutablePointer(to: &entries) { pointer in
                pointer.withMemoryRebound(to: pollfd.self, capacity: 2) { poll($0, 2, milliseconds) }
            }
            // An interrupted system call is tried again; what is wrong with a socket shows when it is used.
            if count < 0, errno == EINTR { continue }
            if count > 0, entries.1.revents != 0 {
                drain()
                return .interrupted
            }
            if count != 0 { return .ready }
        }
    }

    /// Whether something has come, without waiting.
    package static func hasInput(_ socket: Int32) -> Bool {
        var entry = pollfd(fd: socket, events: Int16(POLLIN), revents: 0)
        return poll(&entry, 1, 0) != 0
    }
}
