// SPDX-License-Identifier: Apache-2.0

/// One member of a group that reads topics of an ``InMemoryTransport``.
///
/// What it has not settled goes to other members when it is closed, or when the last reference to it is gone.
public final class InMemorySubscription: TransportSubscription {
    private let member = InMemoryMember()
    private let group: ConsumerGroup
    private let topics: [(topic: InMemoryTopic, group: Int)]
    private let engine: InMemoryTransportEngine
    private let fence: (any EffectFence)?

    init(
        _ group: ConsumerGroup, topics: [(topic: InMemoryTopic, group: Int)], engine: InMemoryTransportEngine,
        fence: (any EffectFence)?
    ) {
        self.group = group
        self.topics = topics
        self.engine = engine
        self.fence = fence
    }

    deinit {
        leave()
    }

    /// Waits for messages.
    ///
    /// - Parameter limit: How many deliveries the caller has room for, 1 or more.
    /// - Returns: At least one delivery; none only after ``close()``.
    /// - Throws: `CancellationError` if the task is cancelled; nothing was handed out then.
    public func next(atMost limit: Int) async throws -> [Delivery] {
        var isResting = false
        do {
            while true {
                try Task.checkCancellation()
                try fence?.check("receive")
                switch take(atMost: max(1, limit)) {
                case .deliveries(let deliveries):
                    if isResting { rise() }
                    return deliveries
                case .nothing(let instant):
                    isResting = true
                    try await wait(until: instant)
                }
            }
        } catch {
            if isResting { rise() }
            throw error
        }
    }

    /// Says what became of deliveries; does nothing about those that are no longer this member's.
    ///
    /// - Parameter settlements: The deliveries with what became of them.
    /// - Throws: Nothing by itself.
    public func settle(_ settlements: [Settlement]) async throws {
        try fence?.check("settle")
        guard !settlements.isEmpty else { return }
        let isDelayed = settlements.contains { if case .retry(let delay) = $0.outcome { delay > .zero } else { false } }
        let now = isDelayed ? engine.runtime.time.monotonic() : nil
        let probe = engine.runtime.probe
        for (topic, group) in topics {
            let settled = topic.settle(settlements, of: member, in: group, now: now, notesDone: probe != nil)
            if !settled.rejected.isEmpty { engine.keep(settled.rejected) }
            if !settled.done.isEmpty { probe?.settled(settled.done, by: self.group) }
        }
        try fence?.checkAnswer("settle")
    }

    /// Leaves the group; does nothing if called again.
    public func close() async {
        leave()
    }

    private func leave() {
        guard member.close() else { return }
        for (topic, group) in topics { topic.takeBack(from: member, in: group) }
        member.wakeUp.notify()
    }

    // MARK: Waiting

    private enum Taken {
        case deliveries([Delivery])
        case nothing(until: MonotonicInstant?)
    }

    private func take(atMost limit: Int) -> Taken {
        if member.isClosed { return .deliveries([]) }
        let dice = engine.makeDice(for: group.rawValue, reader: fence?.party)
        var now = dice == nil ? nil : engine.runtime.time.monotonic()
        var earliest: MonotonicInstant?
        for (topic, group) in topics {
            var taken = topic.take(for: member, in: group, atMost: limit, now: now, dice: dice)
            if case .needsTime = taken {
                now = engine.runtime.time.monotonic()
                taken = topic.take(for: member, in: group, atMost: limit, now: now, dice: dice)
            }
            switch taken {
            case .deliveries(let deliveries): return .deliveries(deliveries)
            case .nothing(let instant?): earliest = min(instant, earliest ?? instant)
            case .nothing(nil), .needsTime: break
            }
        }
        return .nothing(until: earliest)
    }

    private func wait(until instant: MonotonicInstant?) async throws {
        guard let instant else { return try await member.wakeUp.wait() }
        let time = engine.runtime.time
        try await member.wakeUp.wait(atMost: instant - time.monotonic(), time: time)
    }

    private func rise() {
        for (topic, group) in topics { topic.rise(member, in: group) }
    }
}
