// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

extension TransportProbe {
    func settledDoesNotComeAgain() async throws {
        let member = try await subscribe()
        let messages = messages(30) { $0 % 2 == 0 ? nil : PartitionKey("key \($0 % 4)") }
        try await publish(messages)
        let rejected = Set(messages.prefix(10).map(\.attributes.id))
        try await collect(messages, from: member) { delivery in
            rejected.contains(delivery.envelope?.id ?? "") ? .reject(reason: "check") : .acknowledge
        }
        try await expectSilence(from: member, "All messages were settled")
        await member.close()
        let next = try await subscribe()
        try await expectSilence(from: next, "All messages were settled by an earlier member of the group")
        await next.close()
    }

    func givenBackComesAgain() async throws {
        let member = try await subscribe()
        let messages = messages(100) { $0 % 5 == 0 ? PartitionKey("key \($0 % 3)") : nil }
        try await publish(messages)
        let failures = Set([messages[20], messages[71]].map(\.attributes.id))
        let failed = Mutex<Set<MessageID>>([])
        try await collect(messages, from: member) { delivery in
            guard let id = delivery.envelope?.id, failures.contains(id), failed.withLock({ $0.insert(id).inserted })
            else {
                return .acknowledge
            }
            return .retry(after: .zero)
        }
        await member.close()
    }

    func errorsLoseNothing() async throws {
        var members: [T.Subscription] = []
        for _ in 0..<3 { members.append(try await subscribe()) }
        let messages = messages(40) { PartitionKey("key \($0 % 6)") }
        try await publish(messages)
        let errors = Mutex(150)
        try await collect(messages, from: members) { _ in
            let fails = errors.withLock { errors in
                errors -= 1
                return errors >= 0
            }
            return fails ? .retry(after: .zero) : .acknowledge
        }
        for member in members { await member.close() }
    }

    func retryDelayIsKept() async throws {
        let member = try await subscribe()
        var delay = patience.silence * 3
        var round = 0
        while true {
            let waited = try await longestWait(while: delay, round: round, member)
            if waited < delay { break }
            // A busy machine may have been the cause. A transport that holds all back does so however long it is.
            try require(
                delay * 8 <= patience.arrival,
                "A message waited \(waited) for others that were given back for \(delay).")
            delay *= 4
            round += 1
        }
        await member.close()
    }

    /// Gives messages back for a time, and finds out how long others waited meanwhile.
    private func longestWait(while delay: Duration, round: Int, _ member: T.Subscription) async throws -> Duration {
        let number = round * 4
        let late = [message(number, key: "late"), message(number + 1)]
        try await publish(late)
        let first = try await collectDeliveries(late, from: member)
        let time = time
        let started = time.monotonic()
        try await member.settle(first.map { .retry($0.id, after: delay) })

        // Others go on meanwhile.
        let others = [message(number + 2, key: "other"), message(number + 3)]
        try await publish(others)
        let arrivals = Mutex<[MessageID: Duration]>([:])
        try await collect(late + others, from: member) { delivery in
            let elapsed = time.monotonic() - started
            arrivals.withLock { arrivals in
                if let id = delivery.envelope?.id, arrivals[id] == nil { arrivals[id] = elapsed }
            }
            return .acknowledge
        }
        var longest = Duration.zero
        for (id, elapsed) in arrivals.withLock({ $0 }) {
            if late.contains(where: { $0.id == id }) {
                try require(elapsed >= delay, "A message given back for \(delay) came again after \(elapsed).")
            } else {
                longest = max(longest, elapsed)
            }
        }
        return longest
    }

    /// Receives each of these messages without settling it.
    private func collectDeliveries(
        _ expected: [Envelope<Bytes>], from member: T.Subscription
    ) async throws -> [Delivery] {
        var found = try await next(from: member, atMost: 1)
        // How many of one key a member may have in hand is up to the transport.
        while found.count < expected.count,
            let more = try await receive(from: member, atMost: 1, within: patience.silence), !more.isEmpty
        {
            found += more
        }
        return found
    }

    func releasedComesAgain() async throws {
        let member = try await subscribe()
        let messages = messages(3) { _ in "key" }
        try await publish(messages)
        let first = try await collectDeliveries(messages, from: member)
        try await member.settle(first.map { .release($0.id) })
        var seen: [MessageID] = []
        while Set(seen).count < messages.count {
            for delivery in try await next(from: member, atMost: 10) {
                if let id = delivery.envelope?.id, !seen.contains(id) { seen.append(id) }
                if transport.capabilities.countsDeliveries, transport.capabilities.releasesUncounted {
                    try requireAttempt(1, delivery)
                }
                try await member.settle([.acknowledge(delivery.id)])
            }
        }
        if transport.capabilities.ordersPerKey {
            try require(seen == messages.map(\.id), "Messages that were released came again out of order: \(seen).")
        }
        await member.close()
    }

    func deliveriesAreCounted() async throws {
        let member = try await subscribe()
        let message = message(0, key: "key")
        try await publish([message])
        for attempt in 1...3 {
            let delivery = try await next(message, from: member)
            try requireAttempt(attempt, delivery)
            if attempt < 3 { try await member.settle([.retry(delivery.id)]) }
        }
        // The third delivery is lost with its member, and counts.
        await member.close()
        let heir = try await subscribe()
        let delivery = try await next(message, from: heir)
        try requireAttempt(4, delivery)
        try await heir.settle([.acknowledge(delivery.id)])
        await heir.close()
    }

    private func requireAttempt(_ attempt: Int, _ delivery: Delivery) throws {
        try require(
            delivery.attempt == attempt,
            "Delivery number \(attempt) of a message says it is number \(delivery.attempt.map(String.init) ?? "unknown")."
        )
    }

    func settlingAgainDoesNothing() async throws {
        let (member, stranger) = (try await subscribe(), try await subscribe(as: group("stranger")))
        let messages = messages(2) { PartitionKey("key \($0)") }
        try await publish([messages[0]])
        let first = try await next(messages[0], from: member)
        try await stranger.settle([.acknowledge(first.id)])
        try await member.settle([.acknowledge(Delivery.ID(number: first.id.number ^ 0x5555_0000))])
        try await member.settle([.retry(first.id)])
        let second = try await next(messages[0], from: member)
        try await member.settle([.acknowledge(first.id)])
        try await member.settle([.acknowledge(second.id), .acknowledge(second.id), .retry(second.id)])
        try await member.settle([.retry(second.id)])
        try await expectSilence(from: member, "The only message was acknowledged")
        try await collect([messages[0]], from: stranger)
        try await publish([messages[1]])
        let third = try await next(messages[1], from: member)
        await member.close()
        // A member that has left settles nothing any more.
        try? await member.settle([.acknowledge(third.id)])
        let heir = try await subscribe()
        try await collect([messages[1]], from: heir)
        await heir.close()
        await stranger.close()
    }
}
