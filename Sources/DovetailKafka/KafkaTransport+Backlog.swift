// SPDX-License-Identifier: Apache-2.0

#if Kafka
    public import DovetailCore

    extension KafkaTransport: BacklogReportingTransport {
        /// Counts the messages behind the place that a group has committed.
        ///
        /// A message that was settled before an earlier one of its partition counts until that one is settled too.
        ///
        /// - Parameters:
        ///   - group: The group.
        ///   - topics: The topics it reads.
        /// - Returns: How many messages; all that are kept in the topics if the group never read them.
        /// - Throws: ``TransportError`` if the brokers do not answer.
        public func backlog(of group: ConsumerGroup, on topics: [Topic]) async throws -> Int {
            try await lag(of: group, in: topics).values.reduce(0, +)
        }
    }
#endif
