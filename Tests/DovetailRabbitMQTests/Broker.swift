// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    public import Dovetail
    public import DovetailTesting
    import Foundation
    import TestSupport
    import Testing

    @testable public import DovetailRabbitMQ

    /// The broker that the environment names; `Tests/Services/services start rabbitmq` starts one.
    enum Broker {
        static let address = ProcessInfo.processInfo.environment["DOVETAIL_RABBITMQ"].flatMap { $0.isEmpty ? nil : $0 }
        static let isRequired = ProcessInfo.processInfo.environment["DOVETAIL_REQUIRE_SERVICES"] == "1"
        static let isMissing = address == nil
        static let whyMissing: Comment = "DOVETAIL_RABBITMQ is not set, see Tests/Services/README.md"

        /// Stands in front of the broker once it is started.
        static func proxy() throws -> LoopbackProxy {
            try LoopbackProxy(to: UInt16(RabbitMQAddress(address ?? "").port))
        }

        /// The address of the broker as those write it who go by way of a proxy.
        static func address(by proxy: LoopbackProxy) throws -> String {
            let known = try RabbitMQAddress(address ?? "")
            return "amqp://\(known.user):\(known.password)@127.0.0.1:\(proxy.port)/%2F"
        }

        static func connect(
            to address: String? = nil, topics: RabbitMQTransport.Topics = .onDemand(partitions: 3),
            unread: RabbitMQTransport.Unread = .fails, prefetch: Int = 250,
            publishTimeout: Duration = .seconds(30), heartbeat: Duration = .seconds(10),
            handoverTime: Duration = .seconds(5), closeTimeout: Duration = .seconds(10), runtime: Runtime? = nil
        ) throws -> RabbitMQTransport {
            try RabbitMQTransport(
                address ?? self.address ?? "amqp://127.0.0.1:9", topics: topics, unread: unread, prefetch: prefetch,
                publishTimeout: publishTimeout, heartbeat: heartbeat, handoverTime: handoverTime,
                closeTimeout: closeTimeout, runtime: runtime)
        }
    }

    /// The first bytes of what is asked of a broker, as the protocol has them, by which a proxy knows it.
    enum Request {
        static func declare(_ queue: String) -> [UInt8] { method(50, 10, queue) }
        static func bind(_ queue: String) -> [UInt8] { method(50, 20, queue) }
        static func consume(_ queue: String) -> [UInt8] { method(60, 20, queue) }
        static func publish(to exchange: String) -> [UInt8] { method(60, 40, exchange) }
        static func open(channel: UInt8) -> [UInt8] { [1, 0, channel, 0, 0, 0, 5, 0, 20, 0, 10, 0, 0xCE] }

        private static func method(_ kind: UInt8, _ number: UInt8, _ name: String) -> [UInt8] {
            [0, kind, 0, number, 0, 0, UInt8(name.utf8.count)] + Array(name.utf8)
        }
    }

    extension RabbitMQTransport {
        /// How many messages wait in a queue.
        func waiting(in queue: String) async throws -> Int {
            try await run("The queue '\(queue)'") { connection, channel throws(AMQPFailure) in
                try connection.declareQueue(queue, passive: true, on: channel).messages
            }
        }

        /// How many consumers a queue has; `nil` if there is no such queue.
        func consumers(of queue: String) async throws -> Int? {
            do {
                return try await run("The queue '\(queue)'") { connection, channel throws(AMQPFailure) in
                    try connection.declareQueue(queue, passive: true, on: channel).consumers
                }
            } catch let error as TransportError where error.code == .unknownTopic {
                return nil
            }
        }

        /// Deletes a queue, as the broker or whoever has access to it may do.
        func delete(_ queue: String) async throws {
            try await run("The queue '\(queue)'") { connection, channel throws(AMQPFailure) in
                try connection.deleteQueue(queue, on: channel)
            }
        }
    }

    extension RabbitMQTransport: InjectableTransport {
        /// Puts bytes into a topic, without the form of a message.
        public func inject(_ bytes: Bytes, headers: Headers, into topic: Topic) async throws {
            try await publish(
                AMQPMessage(contentType: nil, messageID: nil, headers: Array(headers), body: bytes), to: topic)
        }
    }
#endif
