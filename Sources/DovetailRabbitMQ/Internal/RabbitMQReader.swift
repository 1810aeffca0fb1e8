// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import DovetailCore

    /// The side of a transport that reads: one connection for all its members, and the thread that it blocks.
    ///
    /// It ends with its last member.
    final class RabbitMQReader: Sendable {
        enum Command: Sendable {
            case attach(RabbitMQMember, @Sendable (Result<Void, TransportError>) -> Void)
            case detach(RabbitMQMember)
            /// Ends without a word, as a process that is killed does; for tests.
            case abandon
            /// Cuts the connection, as the network does; for tests.
            case cut
        }

        struct State: Sendable {
            var commands: [Command] = []
            var members: [RabbitMQMember] = []
            var hasEnded = false
        }

        /// What became of a member that was to be read for.
        private struct Answer: Sendable {
            var result: Result<Void, TransportError>?
            var waiters = WaiterList()
        }

        let settings: RabbitMQSettings
        let runtime: Runtime
        let state = Monitor(State())
        let wait: SocketWait

        init(settings: RabbitMQSettings, runtime: Runtime) throws(TransportError) {
            self.settings = settings
            self.runtime = runtime
            guard let wait = SocketWait() else { throw TransportError.noMoreFiles }
            self.wait = wait
        }

        /// Starts the thread.
        func start() throws(TransportError) {
            guard BlockingThread.start({ RabbitMQReaderLoop(self).run() }) == 0 else {
                state.withLock { $0.hasEnded = true }
                throw TransportError(.unavailable, "The system gave no thread to read with. Try again.")
            }
        }

        var hasEnded: Bool { state.withLock { $0.hasEnded } }

        /// - Returns: `false` if the thread has ended, and does nothing any more.
        func send(_ command: Command) -> Bool {
            let isTaken = state.withLock { state in
                if state.hasEnded { return false }
                state.commands.append(command)
                return true
            }
            if isTaken { wake() }
            return isTaken
        }

        func wake() { wait.poke() }

        /// Has the thread read for a member.
        ///
        /// - Returns: `false` if the thread has ended, and another reader is needed.
        /// - Throws: ``TransportError`` if the broker cannot be reached or refuses; `CancellationError` if the task is
        ///   cancelled first, whatever the thread waits for.
        func attach(_ member: RabbitMQMember) async throws -> Bool {
            let answer = Monitor(Answer())
            let isTaken = send(
                .attach(member) { result in
                    answer.withLock { answer in
                        answer.result = result
                        return answer.waiters.wakeAll()
                    }.resume()
                })
            guard isTaken else { return false }
            do {
                try await answer.wait(in: \.waiters) { try $0.result?.get() }
            } catch let error as CancellationError {
                // It may join all the same.
                member.stop()
                throw error
            }
            return true
        }

        /// How many messages are in the hands of a group's members here.
        func unsettled(of group: ConsumerGroup, in topic: Topic) -> Int {
            state.withLock { $0.members }.filter { $0.group == group }
                .reduce(0) { count, member in count + member.state.withLock { $0.unsettled(of: topic) } }
        }
    }
#endif
