// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    public import DovetailCore

    extension RabbitMQTransport: BacklogReportingTransport {
        /// Counts the messages that wait in the queues of a group, and those in the hands of its members in this process.
        ///
        /// Brokers tell a client of AMQP nothing about what others have in hand: of each member in another process, up to the prefetch
        /// of each of its partitions is missing.
        ///
        /// - Parameters:
        ///   - group: The group.
        ///   - topics: The topics it reads.
        /// - Returns: How many messages; none if the group never read the topics, since then none is kept for it.
        /// - Throws: ``TransportError`` if the broker does not answer.
        public func backlog(of group: ConsumerGroup, on topics: [Topic]) async throws -> Int {
            let counts = try await counts(of: group, on: topics)
            return counts.waiting + counts.inHand
        }
    }
#endif
