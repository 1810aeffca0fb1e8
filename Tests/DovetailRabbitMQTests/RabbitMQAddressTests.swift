// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailRabbitMQ

@Suite struct RabbitMQAddressTests {
    @Test("An address is read with all its parts, and with the usual ones for those it leaves out")
    func parts() throws {
        let full = try RabbitMQAddress("amqps://us%40er:p%2Fa:ss@broker.example:7000/%2Fshop")
        #expect(full.host == "broker.example")
        #expect(full.port == 7000)
        #expect(full.user == "us@er")
        #expect(full.password == "p/a:ss")
        #expect(full.virtualHost == "/shop")
        #expect(full.isTLS)
        let short = try RabbitMQAddress("amqp://broker")
        #expect(short.port == 5672)
        #expect(short.user == "guest")
        #expect(short.virtualHost == "/")
        #expect(!short.isTLS)
        #expect(try RabbitMQAddress("AMQPS://[::1]").port == 5671)
        #expect(try RabbitMQAddress("amqp://[::1]:9").host == "::1")
        #expect(try RabbitMQAddress("amqp://broker/%2F").virtualHost == "/")
        #expect(try RabbitMQAddress("amqp://broker/shop").virtualHost == "shop")
    }

    @Test(
        "An address that cannot be read is refused, and nothing of it is told",
        arguments: [
            "", "broker:5672", "http://secret@broker", "amqp://", "amqp://u:secret@", "amqp://u:secret@host:0",
            "amqp://u:secret@host:port", "amqp://u:secret@host:70000", "amqp://u:secret%@host",
            "amqp://u:secret%zz@host",
            "amqp://u:secret@host/a/b", "amqp://u:secret@host?heartbeat=1", "amqp://u:secret%00@host",
            "amqp://u:secret%ff@host", "amqp://u:secret@[::1", "amqp://u:secret@[::1]x",
        ])
    func refused(_ text: String) throws {
        let error = try #require(throws: TransportError.self) { try RabbitMQAddress(text) }
        #expect(error.code == .refused)
        #expect(!"\(error)".contains("secret"))
    }

    @Test("An address is shown without the password")
    func shown() throws {
        let address = try RabbitMQAddress("amqp://user:secret@[::1]:7000/v")
        #expect("\(address)" == "amqp://[::1]:7000")
    }
}

@Suite struct RabbitMQNamesTests {
    @Test("Different groups and topics have different queues, whatever their names")
    func queuesDiffer() throws {
        func queues(_ group: ConsumerGroup, _ topic: Topic) throws -> [String] {
            let names = try RabbitMQNames(topic: topic, partitions: 2)
            return [
                names.queue(of: group, partition: 0), names.queue(of: group, partition: 1), names.rejected(of: group),
                names.members(of: group),
            ]
        }
        let all = try [
            queues("a", "b"), queues("a:b", "c"), queues("a", "b:c"), queues("a%3Ab", "c"), queues("a", "b:0"),
        ].flatMap(\.self)
        #expect(Set(all).count == all.count)
        #expect(all[0] == "a:b:0")
    }

    @Test(
        "A topic that there cannot be is refused by name",
        arguments: ["", "amq.topic", Topic(String(repeating: "x", count: 250)), "a\0b"])
    func impossibleTopic(_ topic: Topic) throws {
        let error = try #require(throws: TransportError.self) { try RabbitMQNames(topic: topic, partitions: 4) }
        #expect(error.code == .unknownTopic)
    }

    @Test("A group whose queues would have names that are too long is refused")
    func longGroup() throws {
        let names = try RabbitMQNames(topic: "topic", partitions: 4)
        let error = try #require(throws: TransportError.self) {
            try names.check(ConsumerGroup(String(repeating: "x", count: 250)))
        }
        #expect(error.code == .refused)
        try names.check("group")
    }

    @Test("A key has the same partition in every version, and keys are spread")
    func partitions() {
        #expect((0..<6).map { PartitionHash.partition(of: PartitionKey("key \($0)"), count: 4) } == known)
        var counts = [0, 0, 0, 0]
        for number in 0..<4000 { counts[PartitionHash.partition(of: PartitionKey("\(number)"), count: 4)] += 1 }
        #expect(counts.allSatisfy { (800...1200).contains($0) }, "\(counts)")
    }

    /// Reckoned by another program.
    private let known = [2, 1, 0, 3, 2, 1]

    @Test("A member keeps its share, rounded up, and gives up the rest")
    func fairShare() {
        let active = (0..<5).map { Partition(topic: "t", number: $0) }
        #expect(FairShare.surplus(of: active, partitions: 5, members: 1) == [])
        #expect(FairShare.surplus(of: active, partitions: 5, members: 2) == Array(active[3...]))
        #expect(FairShare.surplus(of: active, partitions: 5, members: 9) == Array(active[1...]))
        #expect(FairShare.surplus(of: active, partitions: 5, members: 0) == [])
    }
}
