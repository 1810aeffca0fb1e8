// SPDX-License-Identifier: Apache-2.0

#if Kafka
    public import Dovetail
    public import DovetailTesting
    import Foundation
    import Testing

    @testable public import DovetailKafka

    /// The broker that the environment names; `Tests/Services/services start kafka` starts one.
    enum Broker {
        static let address = ProcessInfo.processInfo.environment["DOVETAIL_KAFKA"].flatMap { $0.isEmpty ? nil : $0 }
        static let isRequired = ProcessInfo.processInfo.environment["DOVETAIL_REQUIRE_SERVICES"] == "1"
        static let isMissing = address == nil
        static let whyMissing: Comment = "DOVETAIL_KAFKA is not set, see Tests/Services/README.md"

        /// A transport to it, which leaves groups soon and takes dead members out soon.
        static func connect(
            to address: String? = nil, partitions: Int = 4, contentMode: KafkaTransport.ContentMode = .binary,
            instance: String? = nil, commitInterval: Duration = .milliseconds(20), mostUnsettled: Int = 2000,
            publishTimeout: Duration = .seconds(30), handoverTime: Duration = .seconds(5),
            options: [String: String] = [:], runtime: Runtime? = nil
        ) throws -> KafkaTransport {
            let quick = [
                "session.timeout.ms": "6000", "max.poll.interval.ms": "6000", "heartbeat.interval.ms": "200",
                "topic.metadata.refresh.interval.ms": "2000",
            ]
            return try KafkaTransport(
                address ?? self.address ?? "127.0.0.1:9", topics: .onDemand(partitions: partitions),
                contentMode: contentMode, instance: instance, mostUnsettled: mostUnsettled,
                publishTimeout: publishTimeout, commitInterval: commitInterval, handoverTime: handoverTime,
                options: quick.merging(options) { $1 }, runtime: runtime)
        }
    }

    extension KafkaTransport: InjectableTransport {
        /// Puts bytes into a topic, without a key and without the form of a message.
        public func inject(_ bytes: Bytes, headers: Headers, into topic: Topic) async throws {
            try await publish(KafkaRecord(key: nil, value: bytes, headers: Array(headers)), to: topic)
        }
    }
#endif
