// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import DovetailCore

    /// Declares what topics and groups are on the broker; doing so again changes nothing.
    enum RabbitMQTopology {
        /// Declares a topic.
        static func declare(
            _ names: RabbitMQNames, _ topics: RabbitMQTransport.Topics, on channel: UInt16,
            _ connection: AMQPConnection
        ) throws(AMQPFailure) {
            let isThere = !topics.isDeclared
            try connection.declareExchange(
                names.exchange, type: "direct",
                arguments: [(name: "alternate-exchange", value: .text(names.alternate))], passive: isThere, on: channel)
            try connection.declareExchange(names.alternate, type: "fanout", passive: isThere, on: channel)
        }

        /// Declares the queues of a group, and has them receive the messages of a topic.
        static func declare(
            _ group: ConsumerGroup, of names: RabbitMQNames, _ topics: RabbitMQTransport.Topics, on channel: UInt16,
            _ connection: AMQPConnection
        ) throws(AMQPFailure) {
            let isThere = !topics.isDeclared
            let rejected = names.rejected(of: group)
            try connection.declareQueue(
                rejected, arguments: isThere ? [] : [(name: "x-queue-type", value: .text("quorum"))], passive: isThere,
                on: channel)
            var arguments: AMQPConnection.Arguments = [
                (name: "x-queue-type", value: .text("quorum")),
                // One member at a time has a partition, and another one takes over when it is gone.
                (name: "x-single-active-consumer", value: .boolean(true)),
                // What is rejected is confirmed by the queue of rejected messages before it is taken out of this one.
                (name: "x-dead-letter-exchange", value: .text("")),
                (name: "x-dead-letter-routing-key", value: .text(rejected)),
                (name: "x-dead-letter-strategy", value: .text("at-least-once")),
                (name: "x-overflow", value: .text("reject-publish")),
                // Newer brokers set a limit of twenty unless there is one, and count what members only read ahead.
                (name: "x-delivery-limit", value: .integer(1_000_000)),
            ]
            if let most = topics.mostQueued { arguments.append((name: "x-max-length", value: .integer(Int64(most)))) }
            let queues = (0..<names.partitions).map { names.queue(of: group, partition: $0) }
            for queue in queues {
                try connection.declareQueue(
                    queue, arguments: isThere ? [] : arguments, passive: isThere, on: channel)
            }
            if isThere { return }
            for (partition, queue) in queues.enumerated() {
                try connection.bind(queue, to: names.exchange, key: "\(partition)", on: channel)
            }
            // Last: by this, a message would go to the first partition while its own is not bound yet, and the next one of
            // its key to its own, past it.
            try connection.bind(
                names.queue(of: group, partition: 0), to: names.alternate, key: "", on: channel)
        }

        /// Counts the members of a group that read a topic: the consumers of a queue that never holds anything.
        ///
        /// The queue goes with its last consumer. A broker that was started again may have it with nobody there, so that it
        /// also goes after a minute without one.
        @discardableResult
        static func countMembers(
            of group: ConsumerGroup, in names: RabbitMQNames, on channel: UInt16, _ connection: AMQPConnection
        ) throws(AMQPFailure) -> Int {
            try connection.declareQueue(
                names.members(of: group),
                arguments: [
                    // A broker may make another kind unless told, and not every kind goes with its last consumer.
                    (name: "x-queue-type", value: .text("classic")),
                    (name: "x-expires", value: .integer(60_000)),
                ], isLasting: false, on: channel
            ).consumers
        }

        /// Counts what waits in the queues of a group; none if it never read the topic.
        static func waiting(
            in names: RabbitMQNames, of group: ConsumerGroup, on channel: UInt16, _ connection: AMQPConnection
        ) throws(AMQPFailure) -> Int {
            var count = 0
            for partition in 0..<names.partitions {
                do throws(AMQPFailure) {
                    try connection.open(channel)
                    count +=
                        try connection.declareQueue(
                            names.queue(of: group, partition: partition), passive: true, on: channel
                        ).messages
                } catch  where error.isNotFound {
                    continue
                }
            }
            return count
        }

        /// Deletes the queues of a group with all that is in them.
        static func delete(
            _ group: ConsumerGroup, of names: RabbitMQNames, on channel: UInt16, _ connection: AMQPConnection
        ) throws(AMQPFailure) {
            let queues = (0..<names.partitions).map { names.queue(of: group, partition: $0) }
            for queue in queues + [names.rejected(of: group)] {
                try connection.deleteQueue(queue, on: channel)
            }
        }
    }
#endif
