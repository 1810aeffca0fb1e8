// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import CRabbitMQFloors
    import DovetailCore
    import DovetailRabbitMQ
    import Foundation

    extension Catalogue {
        /// None without a broker.
        static var rabbitMQ: [Comparison] { RabbitMQTopic.server == nil ? [] : rabbitMQRows }

        private static let rabbitMQRows = BrokerWorkloads.sizes.flatMap { size in
            let count = min(size.count, 20_000)
            return [
                Comparison(
                    "RabbitMQ, publish, \(size.name)", in: .perSecond("messages"), count: count,
                    budget: .timesFloor(1 / 0.7),
                    of: BrokerWorkloads.publish(
                        "batches of 1,000, eight at once", bytes: size.bytes, to: RabbitMQTopic.opened),
                    over: RabbitMQWorkloads.barePublisher(bytes: size.bytes)
                ),
                Comparison(
                    "RabbitMQ, consume, \(size.name)", in: .perSecond("messages"), count: count,
                    budget: .timesFloor(1 / 0.7),
                    of: BrokerWorkloads.consume(
                        "read and acknowledge", bytes: size.bytes, from: RabbitMQTopic.opened),
                    over: RabbitMQWorkloads.bareConsumer(bytes: size.bytes)
                ),
            ]
        }
    }

    extension Catalogue {
        /// None without a broker.
        static var rabbitMQLatencies: [LatencyRow] { RabbitMQTopic.server == nil ? [] : [RabbitMQWorkloads.latency] }
    }

    struct RabbitMQTopic: BrokerTopic {
        let bus: RabbitMQTransport
        let topic: Topic

        static let partitions = 4
        /// How many messages of a queue may be under way that are not settled.
        static let prefetch = 250

        /// Where the broker is; `nil` if there is none.
        static let server = ProcessInfo.processInfo.environment["DOVETAIL_RABBITMQ"].flatMap { $0.isEmpty ? nil : $0 }

        static func address() throws -> String {
            guard let server else { throw WorkloadError("DOVETAIL_RABBITMQ is not set, see Tests/Services/README.md.") }
            return server
        }

        init() async throws {
            topic = Topic("benchmark.\(Runtime.current.makeUUID())")
            bus = try RabbitMQTransport(
                try Self.address(), topics: .onDemand(partitions: Self.partitions), prefetch: Self.prefetch)
            try await bus.addGroup(BrokerWorkloads.group, to: [topic])
        }

        static let opened: @Sendable () async throws -> RabbitMQTopic = { try await RabbitMQTopic() }

        func close() async throws {
            try await bus.removeGroup(BrokerWorkloads.group, from: [topic])
            await bus.close()
        }
    }

    /// What librabbitmq does by itself.
    enum RabbitMQWorkloads {
        static func barePublisher(bytes: Int) -> Workload {
            Workload.cleaningUp("librabbitmq in C") { count in
                let floor = try await RabbitMQFloor(bytes: bytes)
                try floor.publish(1)
                return Workload.Run {
                    try floor.publish(count)
                } after: {
                    try await floor.close()
                }
            }
        }

        static func bareConsumer(bytes: Int) -> Workload {
            Workload.cleaningUp("librabbitmq in C") { count in
                let floor = try await RabbitMQFloor(bytes: bytes)
                try floor.publish(count)
                return Workload.Run {
                    try floor.consume(count)
                } after: {
                    try await floor.close()
                }
            }
        }

        static let latency = LatencyRow(
            "RabbitMQ, 1,000 a second, publish to delivery", count: 5_000,
            LatencyWorkloads.published("100 B, one at a time", bytes: 100, rate: 1_000, on: RabbitMQTopic.opened),
            LatencyRow.Side("librabbitmq in C") { count in
                let floor = try await RabbitMQFloor(bytes: 100)
                let times = try floor.paced(count, rate: 1_000)
                try await floor.close()
                return times
            }
        )
    }

    /// Two connections in C.
    final class RabbitMQFloor: @unchecked Sendable {
        // Safe to share: one task uses it.
        private let place: RabbitMQTopic
        private let message: FloorMessage
        private var publisher: OpaquePointer?
        private var consumer: OpaquePointer?

        init(bytes: Int) async throws {
            place = try await RabbitMQTopic()
            message = try FloorMessage(bytes: bytes, .amqp)
            // Makes the exchange.
            try await BrokerWorkloads.publish(1, bytes: bytes, to: place)
            let address = try RabbitMQTopic.address()
            try Self.check(floor_rabbitmq_open(address, &publisher))
            try Self.check(floor_rabbitmq_open(address, &consumer))
            try consume(1)
        }

        func publish(_ count: Int) throws {
            var message = message.message
            try Self.check(
                floor_rabbitmq_publish(
                    publisher, place.topic.rawValue, Int32(RabbitMQTopic.partitions), &message, Int32(count)))
        }

        func consume(_ count: Int) throws {
            try Self.check(
                floor_rabbitmq_consume(
                    consumer, place.topic.rawValue, BrokerWorkloads.group.rawValue, Int32(RabbitMQTopic.partitions),
                    Int32(RabbitMQTopic.prefetch), Int32(count)))
        }

        func paced(_ count: Int, rate: Int) throws -> [Int64] {
            var message = message.message
            var times = [Int64](repeating: 0, count: count)
            try Self.check(
                floor_rabbitmq_paced(
                    publisher, consumer, place.topic.rawValue, BrokerWorkloads.group.rawValue,
                    Int32(RabbitMQTopic.partitions), Int32(RabbitMQTopic.prefetch), &message, Int32(count),
                    Int32(rate), &times))
            return times
        }

        func close() async throws {
            floor_rabbitmq_close(publisher)
            floor_rabbitmq_close(consumer)
            (publisher, consumer) = (nil, nil)
            try await place.close()
        }

        private static func check(_ code: Int32) throws {
            guard code == 0 else { throw WorkloadError("RabbitMQ: \(String(cString: floor_rabbitmq_error()))") }
        }
    }
#else
    extension Catalogue {
        /// Need the trait RabbitMQ.
        static let rabbitMQ: [Comparison] = []
        static let rabbitMQLatencies: [LatencyRow] = []
    }
#endif
