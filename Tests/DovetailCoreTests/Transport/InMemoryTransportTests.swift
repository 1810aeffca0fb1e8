// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DovetailCore

@Suite(.timeLimit(.minutes(1)))
struct InMemoryTransportTests {
    func envelope(_ number: Int, key: PartitionKey? = nil, topic: Topic = "t") -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(
            id: MessageID("\(number)"), source: "/tests", type: "test.numbered", topic: topic
        )
        attributes.partitionKey = key
        return Envelope(attributes, payload: [1, 2, 3])
    }

    @Test func publishedMessagesArriveInOrder() async throws {
        let transport = InMemoryTransport()
        let subscription = try await transport.subscribe(to: ["t"], as: "g")
        _ = try await transport.publish((0..<10).map { envelope($0, key: "k") })
        let deliveries = try await subscription.next(atMost: 100)
        #expect(deliveries.compactMap { $0.envelope?.id.rawValue } == (0..<10).map(String.init))
        #expect(deliveries.map(\.attempt) == Array(repeating: 1, count: 10))
        try await subscription.settle([.retry(deliveries[0].id), .acknowledge(deliveries[1].id)])
        let again = try await subscription.next(atMost: 100)
        #expect(again.map { $0.envelope?.id } == ["0"])
        #expect(again.first?.attempt == 2)
    }

    @Test func aWaitingMemberIsWoken() async throws {
        let transport = InMemoryTransport()
        let subscription = try await transport.subscribe(to: ["t"], as: "g")
        async let deliveries = subscription.next(atMost: 1)
        _ = try await transport.publish([envelope(1)])
        #expect(try await deliveries.count == 1)
    }
}
