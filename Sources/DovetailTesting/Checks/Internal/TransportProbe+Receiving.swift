// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension TransportProbe {
    func limitIsKept() async throws {
        let subscription = try await subscribe()
        let messages = messages(24) { $0 % 2 == 0 ? "key" : nil }
        try await publish(messages)
        var left = Set(messages.map(\.attributes.id))
        var limit = 1
        while !left.isEmpty {
            let deliveries = try await next(from: subscription, atMost: limit)
            for delivery in deliveries { left.remove(delivery.envelope?.id ?? "") }
            try await subscription.settle(deliveries.map { .acknowledge($0.id) })
            limit = limit % 3 + 1
        }
        await subscription.close()
    }

    func cancelledWaitTakesNothing() async throws {
        let subscription = try await subscribe()
        for _ in 0..<3 {
            let early = try await receive(from: subscription, within: .milliseconds(5))
            try require(early == nil, "Nothing was published, but \(early?.count ?? 0) deliveries were handed out.")
        }
        let messages = messages(20) { PartitionKey("key \($0 % 3)") }
        // Some are published just as the member stops waiting.
        var arrived: [MessageID] = []
        for message in messages {
            async let received = receive(from: subscription, atMost: 1, within: .milliseconds(1))
            try await time.sleep(for: .milliseconds(1))
            try await publish([message])
            guard let deliveries = try await received else { continue }
            try await subscription.settle(deliveries.map { .acknowledge($0.id) })
            arrived += deliveries.compactMap { $0.envelope?.id }
        }
        try await collect(messages.filter { !arrived.contains($0.id) }, from: subscription)
        await subscription.close()
    }

    func oneMemberHasIt() async throws {
        var members: [T.Subscription] = []
        for _ in 0..<4 { members.append(try await subscribe()) }
        let messages = messages(120) { $0 % 2 == 0 ? nil : PartitionKey("key \($0 % 9)") }
        let arrivals = Arrivals(messages.map(\.attributes.id))
        let time = time
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                for start in stride(from: 0, to: messages.count, by: 12) {
                    try await publish(Array(messages[start..<start + 12]))
                }
            }
            try await readTogether(members, arrivals: arrivals, atMost: 5) { deliveries in
                try? await time.sleep(for: .milliseconds(1))
                return deliveries.map { .acknowledge($0.id) }
            }
            try await group.waitForAll()
        }
        if let id = arrivals.heldTwice {
            throw failure("Message \(number(of: id)) was handed out while an earlier delivery of it was not settled.")
        }
        for member in members { await member.close() }
    }

    func everyGroupReceives() async throws {
        let subscriptions = [
            try await subscribe(as: group("first")), try await subscribe(as: group("second")),
        ]
        let messages = messages(50) { PartitionKey("key \($0 % 5)") }
        try await publish(messages)
        for subscription in subscriptions {
            try await collect(messages, from: subscription)
            await subscription.close()
        }
    }

    func lateGroupReadsHistory() async throws {
        let early = try await subscribe(as: group("early"))
        let messages = messages(30) { PartitionKey("key \($0 % 3)") }
        try await publish(messages)
        try await collect(messages, from: early)
        let late = try await subscribe(as: group("late"))
        try await collect(messages, from: late)
        await early.close()
        await late.close()
    }
}
