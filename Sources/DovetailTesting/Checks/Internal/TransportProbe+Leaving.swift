// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension TransportProbe {
    func unsettledGoesToNextMember() async throws {
        let member = try await subscribe()
        let messages = messages(10) { _ in "key" }
        try await publish(messages)
        var taken = try await next(from: member, atMost: 5)
        // How many of one key a member may have in hand is up to the transport.
        while taken.count < 5,
            let more = try await receive(from: member, atMost: 5 - taken.count, within: patience.silence), !more.isEmpty
        {
            taken += more
        }
        let settled = taken.prefix(taken.count / 2)
        try await member.settle(settled.map { .acknowledge($0.id) })
        await member.close()

        let heir = try await subscribe()
        let left = messages.filter { message in !settled.contains { $0.envelope?.id == message.id } }
        let arrived = try await collect(left, from: heir)
        if transport.capabilities.ordersPerKey {
            let numbers = arrived.compactMap { $0.envelope.map { number(of: $0.id) } }
            try require(
                numbers == left.map { number(of: $0.id) },
                "What a member left came to the next one in the order \(numbers.joined(separator: ", "))."
            )
        }
        await heir.close()
    }

    func membersContinueOneAnother() async throws {
        // The group is there before anything is published.
        let founder = try await subscribe()
        let messages = messages(60) { $0 % 2 == 0 ? nil : PartitionKey("key \($0 % 7)") }
        try await publish(messages)
        await founder.close()
        var left = Set(messages.map(\.attributes.id))
        while !left.isEmpty {
            let member = try await subscribe()
            let deliveries = try await next(from: member, atMost: 7)
            // The last one is always left to the next member, unless nothing else is left.
            let handled = deliveries.count > 1 ? deliveries.dropLast() : deliveries[...]
            try await member.settle(handled.map { .acknowledge($0.id) })
            for delivery in handled { left.remove(delivery.envelope?.id ?? "") }
            await member.close()
        }
    }

    func concurrentComingAndGoing() async throws {
        let staying = try await subscribe()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<10 {
                group.addTask {
                    let member = try await subscribe()
                    _ = try await receive(from: member, within: .milliseconds(2))
                    await member.close()
                }
            }
            try await group.waitForAll()
        }
        let messages = messages(50) { PartitionKey("key \($0 % 9)") }
        try await publish(messages)
        try await collect(messages, from: staying)
        await staying.close()
    }

    func closedMemberReceivesNothing() async throws {
        let member = try await subscribe()
        let founder = try await subscribe()
        async let waiting = receive(from: member, within: patience.arrival)
        try await time.sleep(for: .milliseconds(2))
        await member.close()
        let started = time.monotonic()
        let deliveries = try await waiting
        try require(deliveries?.isEmpty ?? true, "A member that was closed while it waited was handed something.")
        try require(
            time.monotonic() - started < patience.arrival, "A member that was closed while it waited waited on."
        )
        await member.close()
        try await publish([message(0)])
        let late = try await receive(from: member, within: patience.silence)
        try require(late?.isEmpty ?? false, "A closed member was handed something, or waited.")
        try await collect([message(0)], from: founder)
        await founder.close()
    }
}
