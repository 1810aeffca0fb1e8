// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

extension TransportProbe {
    /// Checks that the messages of each key came in the order in which they were published.
    private func requireOrder(_ arrived: [Envelope<Bytes>], of published: [Envelope<Bytes>]) throws {
        let expected = Dictionary(grouping: published, by: \.attributes.partitionKey)
        for (key, found) in Dictionary(grouping: arrived, by: \.attributes.partitionKey) {
            guard let key else { continue }
            let numbers = found.map { number(of: $0.id) }
            let order = (expected[key] ?? []).map { number(of: $0.id) }
            try require(
                numbers == order,
                "The messages of \(key) came in the order \(numbers.joined(separator: ", ")), "
                    + "published in the order \(order.joined(separator: ", "))."
            )
        }
    }

    func orderPerKey() async throws {
        var members: [T.Subscription] = []
        for _ in 0..<5 { members.append(try await subscribe()) }
        let messages = messages(320) { PartitionKey("key \($0 % 8)") }
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for start in stride(from: 0, to: messages.count, by: 16) {
                    try await publish(Array(messages[start..<start + 16]))
                }
            }
            let arrived = try await collect(messages, from: members, atMost: 6)
            try requireOrder(arrived.compactMap(\.envelope), of: messages)
            try await group.waitForAll()
        }
        for member in members { await member.close() }
    }

    func orderSurvivesRetries() async throws {
        var members: [T.Subscription] = []
        for _ in 0..<3 { members.append(try await subscribe()) }
        let messages = messages(60) { PartitionKey("key \($0 % 4)") }
        let handled = Mutex<(envelopes: [Envelope<Bytes>], failed: Set<MessageID>)>(([], []))
        let failures = Set(messages.enumerated().filter { $0.offset % 3 == 1 }.map(\.element.attributes.id))
        try await publish(messages)
        try await readTogether(members, arrivals: Arrivals(messages.map(\.attributes.id)), atMost: 4) { deliveries in
            handled.withLock { handled in
                var stopped: Set<PartitionKey> = []
                return deliveries.map { delivery in
                    guard let envelope = delivery.envelope, let key = envelope.partitionKey else {
                        return .acknowledge(delivery.id)
                    }
                    // As a consumer does: what follows a failed message in the same batch is given back with it.
                    let fails = failures.contains(envelope.id) && handled.failed.insert(envelope.id).inserted
                    if fails || stopped.contains(key) {
                        stopped.insert(key)
                        return .retry(delivery.id, after: fails ? .milliseconds(2) : .zero)
                    }
                    if !handled.envelopes.contains(where: { $0.id == envelope.id }) {
                        handled.envelopes.append(envelope)
                    }
                    return .acknowledge(delivery.id)
                }
            }
        }
        try requireOrder(handled.withLock { $0.envelopes }, of: messages)
        for member in members { await member.close() }
    }

    func keyStaysWithOneMember() async throws {
        let (first, second) = (try await subscribe(), try await subscribe())
        let messages = messages(3) { _ in "key" }
        try await publish([messages[0]])
        // Whichever member takes the first message keeps the key while it has it.
        let (owner, other, delivery) = try await whoReceives(first, second)
        try await publish(Array(messages[1...]))
        try await expectSilence(from: other, "Another member has not settled an earlier message of the key")
        try await owner.settle([.acknowledge(delivery.id)])
        let arrived = try await collect(Array(messages[1...]), from: [owner, other], repeats: [messages[0]])
        try requireOrder(arrived.compactMap(\.envelope), of: Array(messages[1...]))
        await owner.close()
        await other.close()
    }

    private func whoReceives(
        _ first: T.Subscription, _ second: T.Subscription
    ) async throws -> (owner: T.Subscription, other: T.Subscription, Delivery) {
        var waited = Duration.zero
        while waited < patience.arrival {
            for (member, other) in [(first, second), (second, first)] {
                if let delivery = try await receive(from: member, atMost: 1, within: .milliseconds(10))?.first {
                    return (member, other, delivery)
                }
                waited += .milliseconds(10)
            }
        }
        throw failure("Neither of two members received a message within \(patience.arrival).")
    }
}
