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
            for partition in 0..<names.partitions {
                let queue = names.queue(of: group, partition: partition)
                try connection.declareQueue(
                    queue, arguments: isThere ? [] : arguments, passive: isThere, on: channel)
                if isThere { continue }
                try connection.bind(queue, to: names.exchange, key: "\(partition)", on: channel)
                if partition == 0 { try connection.bind(queue, to: names.alternate, key: "", on: channel) }
            }
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
