// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Synchronization

/// A transport that breaks one promise, to show that a check notices.
struct BrokenTransport: InjectableTransport, BacklogReportingTransport {
    enum Defect: String, CaseIterable, Sendable {
        case dropsHeaders, losesMessages, losesInOverlappingCalls, sleepsThroughArrivals, readsFirstTopicOnly
        case crossesTopics, dropsUndecodable
        case omitsResultOfFailed, publishesFollowers, ignoresLimits, answersEmptyCall
        case exceedsLimit, takesWhenCancelled, makesEveryMemberAGroup, sharesGroups, claimsReplay
        case reversesBatches, putsRetriesLast, dropsKeys
        case forgetsAcknowledgements, forgetsRejections, losesRetries, losesAfterThirdAttempt, losesReleased
        case countsReleased
        case ignoresRetryDelay, delaysEverything, countsNothing, forgetsLostMembers, retriesWhatWasSettled
        case forgetsUnsettled, reversesUnsettled, closesAllMembers, neverCloses
        case countsNoBacklog, countsReadersOnly
    }

    private let inner: InMemoryTransport
    private let defect: Defect?
    private let members = Members()

    init(_ defect: Defect?) {
        self.defect = defect
        inner = InMemoryTransport(
            retention: defect == .claimsReplay ? .untilRead : .all,
            mostMessageBytes: defect == .ignoresLimits ? nil : 2000,
            mostHeaderBytes: defect == .ignoresLimits ? nil : 1500
        )
    }

    var capabilities: TransportCapabilities {
        var capabilities = inner.capabilities
        capabilities.replays = true
        capabilities.mostMessageBytes = 2000
        return capabilities
    }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        switch defect {
        case .dropsHeaders: return try await publish(envelopes) { $0.headers = [:] }
        case .dropsKeys: return try await publish(envelopes) { $0.partitionKey = nil }
        case .crossesTopics: return try await publish(envelopes) { $0.topic = "all" }
        case .losesMessages:
            let kept = envelopes.enumerated().filter { $0.offset % 10 != 9 }.map(\.element)
            _ = try await inner.publish(kept)
            return envelopes.map { _ in .published }
        case .losesInOverlappingCalls:
            let isAlone = members.begin()
            defer { members.end() }
            await Task.yield()
            return isAlone ? try await inner.publish(envelopes) : envelopes.map { _ in .published }
        case .omitsResultOfFailed: return try await inner.publish(envelopes).filter { $0.error == nil }
        case .publishesFollowers:
            var results: [PublishResult] = []
            for envelope in envelopes { results += try await inner.publish([envelope]) }
            return results
        case .answersEmptyCall: return envelopes.isEmpty ? [.published] : try await inner.publish(envelopes)
        default: return try await inner.publish(envelopes)
        }
    }

    private func publish(
        _ envelopes: [Envelope<Bytes>], _ change: (inout EnvelopeAttributes) -> Void
    ) async throws -> [PublishResult] {
        try await inner.publish(
            envelopes.map { envelope in
                var envelope = envelope
                change(&envelope.attributes)
                return envelope
            }
        )
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> BrokenSubscription {
        let subscription: InMemorySubscription =
            switch defect {
            case .readsFirstTopicOnly: try await inner.subscribe(to: Array(topics.prefix(1)), as: group)
            case .crossesTopics: try await inner.subscribe(to: ["all"], as: group)
            case .sharesGroups: try await inner.subscribe(to: topics, as: "everyone")
            case .makesEveryMemberAGroup:
                try await inner.subscribe(to: topics, as: ConsumerGroup("\(group)-\(Runtime.current.makeUUID())"))
            default: try await inner.subscribe(to: topics, as: group)
            }
        members.add(subscription)
        return BrokenSubscription(subscription, of: inner, members: members, defect: defect)
    }

    func backlog(of group: ConsumerGroup, on topics: [Topic]) async throws -> Int {
        switch defect {
        case .countsNoBacklog: 0
        case .countsReadersOnly where group.rawValue.hasSuffix("other"): 0
        default: inner.backlog(of: group, on: topics)
        }
    }

    func inject(_ bytes: Bytes, headers: Headers, into topic: Topic) {
        inner.inject(bytes, headers: headers, into: topic)
    }
}

/// All members of a broken transport, and how many calls publish at the moment.
final class Members: Sendable {
    private let state = Mutex<(all: [InMemorySubscription], publishing: Int)>(([], 0))

    var all: [InMemorySubscription] { state.withLock { $0.all } }

    func add(_ member: InMemorySubscription) {
        state.withLock { $0.all.append(member) }
    }

    /// - Returns: Whether no other call publishes.
    func begin() -> Bool {
        state.withLock { state in
            state.publishing += 1
            return state.publishing == 1
        }
    }

    func end() {
        state.withLock { $0.publishing -= 1 }
    }
}

/// A member that breaks one promise.
final class BrokenSubscription: TransportSubscription {
    private let inner: InMemorySubscription
    private let transport: InMemoryTransport
    private let members: Members
    private let defect: BrokenTransport.Defect?
    private let handedOut = Mutex<[Delivery.ID: Delivery]>([:])
    private let wait = Mutex(Duration.zero)

    init(
        _ inner: InMemorySubscription, of transport: InMemoryTransport, members: Members,
        defect: BrokenTransport.Defect?
    ) {
        self.inner = inner
        self.transport = transport
        self.members = members
        self.defect = defect
    }

    func next(atMost limit: Int) async throws -> [Delivery] {
        let deliveries = try await take(atMost: limit)
        handedOut.withLock { handedOut in
            for delivery in deliveries { handedOut[delivery.id] = delivery }
        }
        return deliveries
    }

    private func take(atMost limit: Int) async throws -> [Delivery] {
        let time = Runtime.current.time
        switch defect {
        case .sleepsThroughArrivals:
            let early = try await withThrowingTaskGroup(of: [Delivery]?.self) { [inner] group in
                group.addTask { try? await inner.next(atMost: limit) }
                group.addTask {
                    try? await time.sleep(for: .milliseconds(1))
                    return nil
                }
                defer { group.cancelAll() }
                return try await group.next() ?? nil
            }
            if let early { return early }
            try await time.sleep(for: .seconds(3600))
            return []
        case .dropsUndecodable:
            while true {
                let deliveries = try await inner.next(atMost: limit)
                let decoded = deliveries.filter { $0.envelope != nil }
                if !decoded.isEmpty || deliveries.isEmpty { return decoded }
                try await inner.settle(deliveries.map { .acknowledge($0.id) })
            }
        case .exceedsLimit: return try await inner.next(atMost: limit + 1)
        case .takesWhenCancelled:
            let deliveries = try await inner.next(atMost: limit)
            try await time.sleep(for: .milliseconds(2))
            return deliveries
        case .reversesBatches: return try await inner.next(atMost: limit).reversed()
        case .delaysEverything:
            try await time.sleep(for: wait.withLock { $0 })
            return try await inner.next(atMost: limit)
        case .countsNothing, .forgetsLostMembers:
            return try await inner.next(atMost: limit).map { delivery in
                Delivery(
                    id: delivery.id, content: delivery.content, topic: delivery.topic, position: delivery.position,
                    attempt: defect == .countsNothing ? 1 : min(3, delivery.attempt ?? 1)
                )
            }
        default: return try await inner.next(atMost: limit)
        }
    }

    func settle(_ settlements: [Settlement]) async throws {
        var changed: [Settlement] = []
        for settlement in settlements {
            let delivery = handedOut.withLock { $0[settlement.delivery] }
            switch (defect, settlement.outcome) {
            case (.forgetsAcknowledgements, .acknowledge), (.forgetsRejections, .reject): continue
            case (.losesRetries, .retry), (.losesReleased, .release): changed.append(.acknowledge(settlement.delivery))
            case (.losesAfterThirdAttempt, .retry) where delivery?.attempt ?? 0 >= 3:
                changed.append(.acknowledge(settlement.delivery))
            case (.ignoresRetryDelay, .retry), (.countsReleased, .release): changed.append(.retry(settlement.delivery))
            case (.delaysEverything, .retry(let delay)):
                wait.withLock { $0 = delay }
                changed.append(settlement)
            case (.putsRetriesLast, .retry), (.retriesWhatWasSettled, .retry):
                if let envelope = delivery?.envelope { _ = try await transport.publish([envelope]) }
                changed.append(.acknowledge(settlement.delivery))
            default: changed.append(settlement)
            }
        }
        try await inner.settle(changed)
    }

    func close() async {
        switch defect {
        case .neverCloses: return
        case .forgetsUnsettled:
            let all = handedOut.withLock { $0.keys.map { Settlement.acknowledge($0) } }
            try? await inner.settle(all)
        case .reversesUnsettled:
            let all = handedOut.withLock { Array($0.values) }.sorted { $0.id.number < $1.id.number }
            for delivery in all.reversed() {
                if let envelope = delivery.envelope, delivery.attempt == 1 {
                    _ = try? await transport.publish([envelope])
                }
            }
            try? await inner.settle(all.map { .acknowledge($0.id) })
        case .closesAllMembers:
            for member in members.all { await member.close() }
        default: break
        }
        await inner.close()
    }
}
