// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafkaFloors
    import DovetailCore
    import DovetailKafka
    import Foundation

    extension Catalogue {
        /// None without a broker.
        static var kafka: [Comparison] { KafkaTopic.servers == nil ? [] : kafkaRows }

        private static let kafkaRows = BrokerWorkloads.sizes.flatMap { size in
            [
                Comparison(
                    "Kafka, publish, \(size.name)", in: .perSecond("messages"), count: size.count,
                    budget: .timesFloor(1 / 0.7),
                    of: BrokerWorkloads.publish(
                        "batches of 1,000, eight at once", bytes: size.bytes, to: KafkaTopic.opened),
                    over: KafkaWorkloads.bareProducer(bytes: size.bytes)
                ),
                Comparison(
                    "Kafka, publish and consume, \(size.name)", in: .perSecond("messages"), count: size.count,
                    budget: .timesFloor(1 / 0.7),
                    of: BrokerWorkloads.through("publish to acknowledged", bytes: size.bytes, on: KafkaTopic.opened),
                    over: KafkaWorkloads.bareProducerAndConsumer(bytes: size.bytes)
                ),
            ]
        }
    }

    extension Catalogue {
        /// None without a broker.
        static var kafkaLatencies: [LatencyRow] { KafkaTopic.servers == nil ? [] : [KafkaWorkloads.latency] }
    }

    struct KafkaTopic: BrokerTopic {
        let bus: KafkaTransport
        let topic: Topic

        /// Where the brokers are; `nil` if there are none.
        static let servers = ProcessInfo.processInfo.environment["DOVETAIL_KAFKA"].flatMap { $0.isEmpty ? nil : $0 }

        static func address() throws -> String {
            guard let servers else { throw WorkloadError("DOVETAIL_KAFKA is not set, see Tests/Services/README.md.") }
            return servers
        }

        /// Both sides wait so long for company, in milliseconds.
        static let linger = "5"

        /// Waits for company as long as the library does if `linger` is `nil`.
        init(linger: String? = linger) throws {
            topic = Topic("benchmark.\(Runtime.current.makeUUID())")
            bus = try KafkaTransport(
                try Self.address(), topics: .onDemand(partitions: 4), options: linger.map { ["linger.ms": $0] } ?? [:])
        }

        static let opened: @Sendable () async throws -> KafkaTopic = { try KafkaTopic() }

        func close() async throws {
            await bus.close()
            try Self.check(floor_kafka_delete(try Self.address(), topic.rawValue))
        }

        static func check(_ code: Int32) throws {
            guard code == 0 else { throw WorkloadError("Kafka: \(String(cString: floor_kafka_error()))") }
        }
    }

    /// What librdkafka does by itself.
    enum KafkaWorkloads {
        static func bareProducer(bytes: Int) -> Workload {
            Workload.cleaningUp("librdkafka in C") { count in
                let floor = try await KafkaFloor(bytes: bytes, reads: false)
                return Workload.Run {
                    try floor.produce(count)
                } after: {
                    try await floor.close()
                }
            }
        }

        static func bareProducerAndConsumer(bytes: Int) -> Workload {
            Workload.cleaningUp("librdkafka in C, two threads") { count in
                let floor = try await KafkaFloor(bytes: bytes, reads: true)
                return Workload.Run {
                    try floor.through(count)
                } after: {
                    try await floor.close()
                }
            }
        }

        /// Each message by itself, with nothing to wait for.
        static let latency = LatencyRow(
            "Kafka, 1,000 a second, publish to delivery", count: 5_000,
            LatencyWorkloads.published("100 B, one at a time", bytes: 100, rate: 1_000) { try KafkaTopic(linger: nil) },
            LatencyRow.Side("librdkafka in C") { count in
                let floor = try await KafkaFloor(bytes: 100, linger: "0", reads: true)
                let times = try floor.paced(count, rate: 1_000)
                try await floor.close()
                return times
            }
        )
    }

    /// A producer and a consumer in C.
    final class KafkaFloor: @unchecked Sendable {
        // Safe to share: one task uses it.
        private let place: KafkaTopic
        private let message: FloorMessage
        private var producer: OpaquePointer?
        private var consumer: OpaquePointer?

        init(bytes: Int, linger: String = KafkaTopic.linger, reads: Bool) async throws {
            place = try KafkaTopic()
            message = try FloorMessage(bytes: bytes, .kafka)
            let servers = try KafkaTopic.address()
            // Makes the topic.
            try await BrokerWorkloads.publish(1, bytes: bytes, to: place)
            try KafkaTopic.check(floor_kafka_producer(servers, place.topic.rawValue, linger, &producer))
            try produce(1)
            guard reads else { return }
            let group = BrokerWorkloads.group.rawValue
            try KafkaTopic.check(floor_kafka_consumer(servers, place.topic.rawValue, group, 2, &consumer))
        }

        func produce(_ count: Int) throws {
            var message = message.message
            try KafkaTopic.check(floor_kafka_produce(producer, &message, Int32(count)))
        }

        func through(_ count: Int) throws {
            var message = message.message
            try KafkaTopic.check(floor_kafka_through(producer, consumer, &message, Int32(count)))
        }

        /// Calls a body with what `floor_kafka_take` and `floor_kafka_settle` work on.
        func withProducer<Result>(_ body: (UnsafeMutableRawPointer) throws -> Result) rethrows -> Result {
            var target = floor_kafka_target(producer: producer, message: message.message)
            return try withUnsafeMutablePointer(to: &target) { try body(UnsafeMutableRawPointer($0)) }
        }

        func paced(_ count: Int, rate: Int) throws -> [Int64] {
            var message = message.message
            var times = [Int64](repeating: 0, count: count)
            try KafkaTopic.check(
                floor_kafka_paced(producer, consumer, &message, Int32(count), Int32(rate), &times))
            return times
        }

        func close() async throws {
            floor_kafka_close(producer)
            floor_kafka_close(consumer)
            (producer, consumer) = (nil, nil)
            try await place.close()
        }
    }
#else
    extension Catalogue {
        /// Need the trait Kafka.
        static let kafka: [Comparison] = []
        static let kafkaLatencies: [LatencyRow] = []
    }
#endif
