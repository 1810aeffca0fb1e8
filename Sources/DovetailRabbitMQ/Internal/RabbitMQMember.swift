// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import DovetailCore

    /// A member of a group: what the tasks that use it and the thread that reads for it share.
    final class RabbitMQMember: Sendable {
        private struct Control: Sendable {
            var hasEnded = false
            var waiters = WaiterList()
        }

        let group: ConsumerGroup
        let topics: [RabbitMQNames]
        let runtime: Runtime
        let state = Monitor(MemberState())
        private let reader: RabbitMQReader
        private let numbers: DeliveryCounter
        private let control = Monitor(Control())
        /// Wakes the task that waits for messages.
        private let arrival = WakeUp()

        init(
            group: ConsumerGroup, topics: [RabbitMQNames], reader: RabbitMQReader, numbers: DeliveryCounter,
            runtime: Runtime
        ) {
            self.group = group
            self.topics = topics
            self.reader = reader
            self.numbers = numbers
            self.runtime = runtime
        }

        // MARK: For tasks

        func next(atMost limit: Int) async throws -> [Delivery] {
            while true {
                try Task.checkCancellation()
                let now = runtime.time.monotonic()
                let taken = try state.withLock { state throws(TransportError) in
                    try state.take(atMost: limit, now: now, number: numbers.next)
                }
                switch taken {
                case .deliveries(let deliveries): return deliveries
                case .closed: return []
                case .nothing(nil): try await arrival.wait()
                case .nothing(let due?): try await arrival.wait(atMost: due - now, time: runtime.time)
                }
            }
        }

        func settle(_ settlements: [Settlement]) {
            if settlements.isEmpty { return }
            let now = runtime.time.monotonic()
            let effect = state.withLock { $0.settle(settlements, now: now) }
            if effect.comesAgain { arrival.notify() }
            if effect.concernsBroker { reader.wake() }
        }

        /// Has the thread give back what is in hand, and let go of the member.
        func stop(abandoning: Bool = false) {
            let isFirst = state.withLock { state in
                defer { state.close() }
                return !state.isClosed
            }
            arrival.notify()
            if isFirst, !reader.send(abandoning ? .abandon : .detach(self)) { hasEnded() }
        }

        /// Waits until the broker gives what was in hand to others.
        func waitForEnd() async {
            // Waits also for who is cancelled: closing is the last chance to do it in order.
            _ = try? await withCancellationShield {
                try await self.control.wait(in: \.waiters) { $0.hasEnded ? () : nil }
            } onCancel: {
            }
        }

        // MARK: For the thread

        func notify() { arrival.notify() }

        func fail(with error: TransportError) {
            state.withLock { $0.failure = error }
            arrival.notify()
        }

        func hasEnded() {
            control.withLock { control in
                control.hasEnded = true
                return control.waiters.wakeAll()
            }.resume()
        }
    }
#endif
