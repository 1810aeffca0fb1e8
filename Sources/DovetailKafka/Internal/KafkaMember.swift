// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import Dispatch
    import DovetailCore

    /// A member of a group: what the tasks that use it and the thread that runs it share.
    final class KafkaMember: Sendable {
        private struct Control: Sendable {
            var isStopping = false
            var isAbandoned = false
            var isWaitingForRoom = false
            var hasEnded = false
            var waiters = WaiterList()
        }

        let group: ConsumerGroup
        /// The topics by their names in Kafka.
        let topics: [String: Topic]
        let settings: KafkaSettings
        let runtime: Runtime
        let handle: KafkaHandle
        /// Where messages come, so that they can be left there while there is no room for them.
        let messages: KafkaQueue
        let state: Monitor<MemberState>
        private let control = Monitor(Control())
        private let numbers: DeliveryCounter
        private let instance: InstanceNames.Taken?
        /// Wakes the task that waits for messages.
        private let arrival = WakeUp()
        /// Wakes the thread while it waits for room.
        private let room = DispatchSemaphore(value: 0)

        init(
            group: ConsumerGroup, topics: [String: Topic], instance: InstanceNames.Taken?, options: KafkaOptions,
            settings: KafkaSettings, numbers: DeliveryCounter, runtime: Runtime
        ) throws(TransportError) {
            self.group = group
            self.topics = topics
            self.instance = instance
            self.settings = settings
            self.numbers = numbers
            self.runtime = runtime
            state = Monitor(MemberState(limits: settings.limits))
            var own: [(name: String, value: String)] = [
                ("group.id", group.rawValue),
                ("statistics.interval.ms", settings.statisticsMilliseconds(runtime)),
                ("enable.auto.commit", "false"),
                ("enable.auto.offset.store", "false"),
                ("auto.offset.reset", "earliest"),
                ("partition.assignment.strategy", Self.isCooperative ? "cooperative-sticky" : "range,roundrobin"),
                // What librdkafka reads ahead comes on top of what is kept here.
                ("queued.min.messages", "\(min(settings.limits.mostUnsettled, 10_000_000))"),
                ("queued.max.messages.kbytes", "16384"),
            ]
            if let instance { own.append(("group.instance.id", instance.name)) }
            handle = try KafkaHandle(.consumer, options: options, settings: own)
            guard let raw = rd_kafka_queue_new(handle.raw) else {
                handle.destroy()
                throw TransportError(.unavailable, "librdkafka gave no queue. Free memory and try again.")
            }
            messages = KafkaQueue(raw)
        }

        /// Whether members take from each other only the partitions that move.
        ///
        /// Before 2.3.0, librdkafka ends the process if such a member is closed while its group deals out the partitions
        /// ([issue 4312](https://github.com/confluentinc/librdkafka/issues/4312)).
        static var isCooperative: Bool { rd_kafka_version() >= 0x0203_0000 }

        /// Joins the group and starts the thread; the member lives until it is stopped.
        func start() throws(TransportError) {
            let names = topics.keys.sorted().map {
                (name: KafkaReports.PartitionName(topic: $0, number: -1), offset: Int64(-1001))
            }
            let code = PartitionList.with(names) { rd_kafka_subscribe(handle.raw, $0) }
            if code == RD_KAFKA_RESP_ERR_NO_ERROR, BlockingThread.start({ KafkaMemberLoop.run(self) }) == 0 { return }
            messages.destroy()
            handle.destroy()
            guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
                throw TransportError(code, of: "The subscription of '\(group)'")
            }
            throw TransportError(.unavailable, "The system gave no thread to read with. Try again.")
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
            let settled = state.withLock { $0.settle(settlements, now: now) }
            if settled.comesAgain { arrival.notify() }
            if settled.makesWay { wakeThread() }
        }

        /// Has the thread leave the group, and end.
        func stop(abandoning: Bool = false) {
            state.withLock { $0.close() }
            control.withLock { control in
                control.isStopping = true
                if abandoning { control.isAbandoned = true }
            }
            arrival.notify()
            wakeThread()
        }

        /// Waits until the thread has left the group.
        func waitForEnd() async {
            // Waits also for who is cancelled: closing is the last chance to do it in order.
            _ = try? await withCancellationShield {
                try await self.control.wait(in: \.waiters) { $0.hasEnded ? () : nil }
            } onCancel: {
            }
        }

        private func wakeThread() {
            if control.withLock({ $0.isWaitingForRoom }) { room.signal() }
            messages.yield()
        }

        // MARK: For the thread

        var isStopping: Bool { control.withLock { $0.isStopping } }
        var isAbandoned: Bool { control.withLock { $0.isAbandoned } }

        func received(_ messages: [(partition: Partition, message: PartitionLanes.Message)]) {
            if messages.isEmpty { return }
            state.withLock { state in
                for (partition, message) in messages { state.received(message, of: partition) }
            }
            arrival.notify()
        }

        func fail(with error: TransportError) {
            state.withLock { $0.failure = error }
            arrival.notify()
        }

        func hasEnded() {
            instance?.giveBack()
            control.withLock { control in
                control.hasEnded = true
                return control.waiters.wakeAll()
            }.resume()
        }

        /// Blocks the thread while there is too little room, for as long as it may.
        ///
        /// - Returns: The room there is then.
        func waitForRoom(atMost limit: Duration) -> MemberState.Room {
            control.withLock { $0.isWaitingForRoom = true }
            defer { control.withLock { $0.isWaitingForRoom = false } }
            let deadline = DispatchTime.now() + .milliseconds(Int(limit.milliseconds))
            while true {
                let room = state.withLock { $0.room }
                if room == .free || isStopping || self.room.wait(timeout: deadline) == .timedOut { return room }
            }
        }
    }
#endif
