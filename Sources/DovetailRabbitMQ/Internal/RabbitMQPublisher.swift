// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import CRabbitMQ
    import DovetailCore

    typealias RabbitMQCall = PublishCall<AMQPMessage>
    typealias RabbitMQTicket = PublishTicket<AMQPMessage>

    /// The side of a transport that publishes: one connection, and the thread that it blocks.
    final class RabbitMQPublisher: Sendable {
        /// Something to do with the connection besides publishing.
        struct Errand: Sendable {
            let run: @Sendable (AMQPConnection) throws(AMQPFailure) -> Void
            let fail: @Sendable (TransportError) -> Void
        }

        struct State: Sendable {
            var waiting = RingBuffer<RabbitMQTicket>()
            var errands = RingBuffer<Errand>()
            /// When all is to have ended; `nil` until the publisher is stopped.
            var deadline: MonotonicInstant?
            /// For tests: the connection is to be cut.
            var isCut = false
            /// Nothing is taken any more.
            var isClosed = false
            var hasEnded = false
            var waiters = WaiterList()
        }

        let settings: RabbitMQSettings
        let runtime: Runtime
        let state = Monitor(State())
        let wait: SocketWait
        /// Sees to it that the thread is not held up.
        let watch: AMQPWatch

        init(settings: RabbitMQSettings, runtime: Runtime) throws(TransportError) {
            self.settings = settings
            self.runtime = runtime
            guard let wait = SocketWait() else { throw TransportError.noMoreFiles }
            self.wait = wait
            watch = AMQPWatch(limit: min(settings.publishTimeout, settings.closeTimeout), time: runtime.time)
        }

        /// Starts the thread, and the one that watches it; the publisher lives until it is stopped.
        func start() throws(TransportError) {
            if BlockingThread.start({ [watch] in watch.run() }) == 0 {
                if BlockingThread.start({ RabbitMQPublisherLoop(self).run() }) == 0 { return }
                watch.stop()
            }
            throw TransportError(.unavailable, "The system gave no thread to publish with. Try again.")
        }

        // MARK: For tasks

        func publish(_ call: RabbitMQCall, _ indices: [Int]) {
            let isTaken = state.withLock { state in
                if state.isClosed { return false }
                for index in indices { state.waiting.append(RabbitMQTicket(call, index)) }
                return true
            }
            guard isTaken else {
                for index in indices {
                    _ = call.progress.finish(index, .failed(Self.closed(call.progress.envelopes[index].attributes.id)))
                }
                return
            }
            wait.poke()
        }

        /// Runs a body on the thread, with the connection and its channel for all else than messages.
        ///
        /// - Throws: ``TransportError``, of the subject, if there is no connection or the broker refuses.
        func run<Result: Sendable>(
            _ subject: String, _ body: @escaping @Sendable (AMQPConnection) throws(AMQPFailure) -> Result
        ) async throws -> Result {
            try await withCheckedThrowingContinuation { continuation in
                let errand = Errand { connection throws(AMQPFailure) in
                    do throws(AMQPFailure) {
                        try connection.open(RabbitMQPublisherLoop.topology)
                        continuation.resume(returning: try body(connection))
                    } catch {
                        continuation.resume(throwing: error.error(of: subject))
                        throw error
                    }
                } fail: {
                    continuation.resume(throwing: $0)
                }
                let isTaken = state.withLock { state in
                    if !state.isClosed { state.errands.append(errand) }
                    return !state.isClosed
                }
                isTaken ? wait.poke() : errand.fail(Self.closed)
            }
        }

        static let closed = TransportError(.closed, "The transport was closed. Create another one.")

        static func closed(_ id: MessageID) -> TransportError {
            TransportError(.closed, "The transport was closed. Publish the message '\(id)' with another one.")
        }

        /// Has the thread publish what is under way, and end.
        func stop() {
            let deadline = runtime.time.monotonic() + settings.closeTimeout
            let isFirst = state.withLock { state in
                if state.deadline != nil { return false }
                state.deadline = deadline
                return true
            }
            if isFirst { watch.end(by: deadline) }
            wait.poke()
        }

        /// Waits until the thread has ended.
        func waitForEnd() async {
            _ = try? await withCancellationShield {
                try await self.state.wait(in: \.waiters) { $0.hasEnded ? () : nil }
            } onCancel: {
            }
        }

        /// Cuts the connection, as the network does; for tests.
        func cut() {
            state.withLock { $0.isCut = true }
            wait.poke()
        }
    }
#endif
