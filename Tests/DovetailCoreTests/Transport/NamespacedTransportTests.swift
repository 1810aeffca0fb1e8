// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Testing

/// Several installations on one broker.
@Suite(.timeLimit(.minutes(10)))
struct NamespacedTransportTests {
    private let broker = InMemoryTransport(retention: .all)

    private func message(_ id: MessageID) -> Envelope<Bytes> {
        Envelope(
            EnvelopeAttributes(id: id, source: "/test", type: "test.message", topic: "orders"), payload: Bytes("1".utf8)
        )
    }

    @Test func installationsDoNotSeeEachOther() async throws {
        let staging = NamespacedTransport(broker, prefix: "staging.")
        let production = NamespacedTransport(broker, prefix: "production.")
        _ = try await staging.publish([message("s")])
        _ = try await production.publish([message("p")])
        let member = try await staging.subscribe(to: ["orders"], as: "payments")
        let deliveries = try await member.next(atMost: 10)
        #expect(deliveries.map { $0.envelope?.attributes.id } == ["s"])
        #expect(try await staging.backlog(of: "payments", on: ["orders"]) == 1)
        // The group of the other installation has not read anything.
        #expect(try await production.backlog(of: "payments", on: ["orders"]) == 1)
        try await member.settle(deliveries.map { .acknowledge($0.id) })
        #expect(try await staging.backlog(of: "payments", on: ["orders"]) == 0)
        #expect(try await production.backlog(of: "payments", on: ["orders"]) == 1)
    }

    @Test func theBrokerKnowsTheNamesWithThePrefixAndTheMemberWithout() async throws {
        let staging = NamespacedTransport(broker, prefix: "staging.")
        _ = try await staging.publish([message("1")])
        broker.inject(Bytes("foreign".utf8), into: "staging.orders")
        let outside = try await broker.subscribe(to: ["staging.orders"], as: "outside")
        #expect(Set(try await outside.next(atMost: 10).map(\.topic)) == ["staging.orders"])
        let inside = try await staging.subscribe(to: ["orders"], as: "inside")
        let deliveries = try await inside.next(atMost: 10)
        #expect(deliveries.count == 2)
        #expect(deliveries.allSatisfy { $0.topic == "orders" })
        #expect(deliveries.compactMap { $0.envelope?.attributes.topic } == ["orders"])
        #expect(deliveries.allSatisfy { !$0.position.isEmpty && $0.attempt == 1 })
    }
}
