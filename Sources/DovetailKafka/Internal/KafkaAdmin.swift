// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore

    /// Asks the cluster about topics and groups, each time with a client of its own on a thread of its own.
    ///
    /// Such calls block, and a consumer's client, unlike a producer's, never has the broker create a topic by asking for it.
    struct KafkaAdmin: Sendable {
        let options: KafkaOptions
        let timeout: Duration

        /// Makes sure that topics are there.
        ///
        /// - Parameters:
        ///   - names: Their names in Kafka.
        ///   - creation: How to create what is missing; `nil` not to.
        /// - Returns: Why a topic cannot be used, for each that cannot.
        /// - Throws: ``TransportError`` if the cluster does not answer.
        func ensure(
            _ names: [String], creation: KafkaTransport.Topics.Creation?
        ) async throws -> [String: TransportError] {
            try await withClient(group: nil) { client in
                var missing: [String] = []
                var problems: [String: TransportError] = [:]
                for name in names {
                    let code = try topicState(name, client)
                    switch code {
                    case RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE: break
                    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART where creation != nil: missing.append(name)
                    default: problems[name] = TransportError(code, of: "The topic '\(name)'")
                    }
                }
                if let creation, !missing.isEmpty {
                    let failed = try create(missing, creation, client)
                    problems.merge(failed) { old, _ in old }
                }
                return problems
            }
        }

        /// How many messages of topics a group has yet to settle.
        func lag(of group: ConsumerGroup, in topics: [String]) async throws -> [String: Int] {
            try await withClient(group: group) { client in
                var partitions: [(name: KafkaReports.PartitionName, offset: Int64)] = []
                for topic in topics {
                    for number in 0..<(try partitionCount(of: topic, client)) {
                        partitions.append((KafkaReports.PartitionName(topic: topic, number: number), -1001))
                    }
                }
                var lag = Dictionary(topics.map { ($0, 0) }) { first, _ in first }
                let committed = try committedOffsets(partitions, client)
                for (name, offset) in committed {
                    var (low, high): (Int64, Int64) = (0, 0)
                    let code = rd_kafka_query_watermark_offsets(
                        client.raw, name.topic, name.number, &low, &high, timeout.milliseconds)
                    guard code == RD_KAFKA_RESP_ERR_NO_ERROR else {
                        throw TransportError(
                            code, of: "The end of '\(name.topic)'", trouble: client.reports.lastTrouble)
                    }
                    // A group that has not read a partition starts with the oldest message that is there.
                    let (behind, overflow) = high.subtractingReportingOverflow(max(low, offset))
                    lag[name.topic, default: 0] += overflow ? 0 : Int(clamping: max(0, behind))
                }
                return lag
            }
        }

        // MARK: Calls

        private func withClient<Result: Sendable>(
            group: ConsumerGroup?, _ body: @escaping @Sendable (KafkaHandle) throws -> Result
        ) async throws -> Result {
            let settings = [("group.id", group?.rawValue ?? "dovetail-admin"), ("enable.auto.commit", "false")]
            let client = try KafkaHandle(.consumer, options: options, settings: settings.map { (name: $0, value: $1) })
            return try await withCheckedThrowingContinuation { continuation in
                let status = BlockingThread.start {
                    continuation.resume(with: Swift.Result { try body(client) })
                    client.destroy()
                }
                if status != 0 {
                    client.destroy()
                    continuation.resume(
                        throwing: TransportError(
                            .unavailable, "The system gave no thread to ask the cluster with. Try again."))
                }
            }
        }

        /// Reads the metadata of one topic.
        private func metadata<Result>(
            of topic: String, _ client: KafkaHandle, _ read: (rd_kafka_metadata_topic_t) -> Result
        ) throws -> Result? {
            let handle = rd_kafka_topic_new(client.raw, topic, nil)
            defer { if let handle { rd_kafka_topic_destroy(handle) } }
            var metadata: UnsafePointer<rd_kafka_metadata>?
            let code = rd_kafka_metadata(client.raw, 0, handle, &metadata, timeout.milliseconds)
            guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let metadata else {
                // The reports of trouble come to whoever polls.
                rd_kafka_poll(client.raw, 0)
                if let trouble = client.reports.lastTrouble, TransportError.isRefusal(trouble.0) {
                    throw TransportError(
                        .refused,
                        "Kafka at '\(options.servers)' does not let us in: \(trouble.1). Correct the options for TLS and SASL."
                    )
                }
                throw TransportError(
                    .unavailable,
                    "Kafka cannot be reached at '\(options.servers)' "
                        + "(\(client.reports.lastTrouble?.1 ?? String(cString: rd_kafka_err2str(code)))). "
                        + "Check that it runs and that the address is right."
                )
            }
            defer { rd_kafka_metadata_destroy(metadata) }
            return metadata.pointee.topic_cnt > 0 ? read(metadata.pointee.topics[0]) : nil
        }

        private func topicState(_ topic: String, _ client: KafkaHandle) throws -> rd_kafka_resp_err_t {
            try metadata(of: topic, client) { $0.err } ?? RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
        }

        private func partitionCount(of topic: String, _ client: KafkaHandle) throws -> Int32 {
            try metadata(of: topic, client) { max(0, $0.partition_cnt) } ?? 0
        }

        private func committedOffsets(
            _ partitions: [(name: KafkaReports.PartitionName, offset: Int64)], _ client: KafkaHandle
        ) throws -> [(KafkaReports.PartitionName, Int64)] {
            try PartitionList.with(partitions) { list in
                let code = rd_kafka_committed(client.raw, list, timeout.milliseconds)
                guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let list else {
                    return Swift.Result<[(KafkaReports.PartitionName, Int64)], TransportError>.failure(
                        TransportError(code, of: "The group's positions", trouble: client.reports.lastTrouble))
                }
                return .success(
                    zip(PartitionList.names(of: list), 0..<Int(list.pointee.cnt)).map { name, index in
                        (name, list.pointee.elems[index].offset)
                    })
            }.get()
        }

        private func create(
            _ names: [String], _ creation: KafkaTransport.Topics.Creation, _ client: KafkaHandle
        ) throws -> [String: TransportError] {
            guard let queue = rd_kafka_queue_new(client.raw) else { return [:] }
            defer { rd_kafka_queue_destroy(queue) }
            var text = [CChar](repeating: 0, count: 512)
            var topics: [OpaquePointer?] = []
            defer { for topic in topics { rd_kafka_NewTopic_destroy(topic) } }
            var problems: [String: TransportError] = [:]
            for name in names {
                let topic = rd_kafka_NewTopic_new(
                    name, Int32(clamping: creation.partitions), Int32(clamping: creation.replicas ?? -1), &text,
                    text.count)
                if let topic {
                    topics.append(topic)
                } else {
                    problems[name] = TransportError(
                        .refused, "The topic '\(name)' cannot be created: \(KafkaHandle.string(text))")
                }
            }
            if topics.isEmpty { return problems }
            let options = rd_kafka_AdminOptions_new(client.raw, RD_KAFKA_ADMIN_OP_CREATETOPICS)
            defer { rd_kafka_AdminOptions_destroy(options) }
            rd_kafka_AdminOptions_set_request_timeout(options, timeout.milliseconds, &text, text.count)
            rd_kafka_CreateTopics(client.raw, &topics, topics.count, options, queue)
            guard let event = rd_kafka_queue_poll(queue, timeout.milliseconds &+ 1000) else {
                throw TransportError(.timedOut, "Kafka did not create topics in time. Try again.")
            }
            defer { rd_kafka_event_destroy(event) }
            let code = rd_kafka_event_error(event)
            guard code == RD_KAFKA_RESP_ERR_NO_ERROR, let result = rd_kafka_event_CreateTopics_result(event) else {
                throw TransportError(code, of: "The creation of topics", trouble: client.reports.lastTrouble)
            }
            var count = 0
            guard let results = rd_kafka_CreateTopics_result_topics(result, &count) else { return problems }
            for index in 0..<count {
                guard let topic = results[index], let name = rd_kafka_topic_result_name(topic) else { continue }
                let code = rd_kafka_topic_result_error(topic)
                // Someone else may have been faster.
                if code == RD_KAFKA_RESP_ERR_NO_ERROR || code == RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS { continue }
                problems[String(cString: name)] = TransportError(
                    code, of: "The topic '\(String(cString: name))', which was to be created")
            }
            return problems
        }
    }
#endif
