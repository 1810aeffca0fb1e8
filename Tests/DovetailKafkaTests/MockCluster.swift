// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import Dovetail

    @testable import DovetailKafka

    /// A cluster within the process that can be told to fail, as librdkafka has it for its own tests.
    final class MockCluster: @unchecked Sendable {
        // Safe to share: librdkafka locks the cluster in each call.
        private let client: OpaquePointer
        private let cluster: OpaquePointer
        let address: String

        /// The numbers of the protocol's requests that publish and that commit positions.
        static let (produce, commit): (Int16, Int16) = (0, 8)

        init(brokers: Int32 = 1, topics: [String: Int32] = ["t": 1]) throws {
            guard let configuration = rd_kafka_conf_new(),
                let client = rd_kafka_new(RD_KAFKA_PRODUCER, configuration, nil, 0),
                let cluster = rd_kafka_mock_cluster_new(client, brokers),
                let address = rd_kafka_mock_cluster_bootstraps(cluster)
            else { throw TransportError(.unavailable, "There is no mock cluster.") }
            self.client = client
            self.cluster = cluster
            self.address = String(cString: address)
            for (name, partitions) in topics { rd_kafka_mock_topic_create(cluster, name, partitions, 1) }
        }

        deinit {
            rd_kafka_mock_cluster_destroy(cluster)
            rd_kafka_destroy(client)
        }

        /// Has the next requests fail, one error each.
        func fail(_ request: Int16, with errors: [rd_kafka_resp_err_t]) {
            rd_kafka_mock_push_request_errors_array(cluster, request, errors.count, errors)
        }

        func setDown(_ isDown: Bool, broker: Int32 = 1) {
            _ = isDown ? rd_kafka_mock_broker_set_down(cluster, broker) : rd_kafka_mock_broker_set_up(cluster, broker)
        }

        func connect(
            contentMode: KafkaTransport.ContentMode = .binary, publishTimeout: Duration = .seconds(10),
            closeTimeout: Duration = .seconds(5), statisticsInterval: Duration? = nil,
            options: [String: String] = [:], runtime: Runtime? = nil
        ) throws -> KafkaTransport {
            let quick = [
                "session.timeout.ms": "6000", "heartbeat.interval.ms": "200",
                "topic.metadata.refresh.interval.ms": "2000",
            ]
            return try KafkaTransport(
                address, contentMode: contentMode, publishTimeout: publishTimeout, connectTimeout: .seconds(5),
                commitInterval: .milliseconds(20), handoverTime: .seconds(20), closeTimeout: closeTimeout,
                statisticsInterval: statisticsInterval, options: quick.merging(options) { $1 }, runtime: runtime)
        }
    }
#endif
