// SPDX-License-Identifier: Apache-2.0

/// One topic: its messages and what each group has read of them, behind one lock.
final class InMemoryTopic: Sendable {
    let name: Topic
    private let settings: InMemoryTransportEngine.Settings
    private let numbers: DeliveryNumbers
    private let monitor: Monitor<State>

    init(_ name: Topic, settings: InMemoryTransportEngine.Settings, numbers: DeliveryNumbers) {
        self.name = name
        self.settings = settings
        self.numbers = numbers
        monitor = Monitor(State(lanes: settings.partitions + 1))
    }

    struct State: Sendable {
        /// The partitions, and last the lane of messages without a key, which has no order to keep.
        var lanes: [InMemoryLane]
        var groups: [InMemoryGroup] = []
        var counts = InMemoryTransport.Statistics()
        var publishers = WaiterList()
        /// Publishers that were woken because there is room, and have not come yet.
        var admitted = 0

        init(lanes count: Int) {
            lanes = Array(repeating: InMemoryLane(), count: count)
        }

        var stored: Int { lanes.reduce(0) { $0 + $1.end - $1.start } }

        mutating func append(_ message: StoredMessage, to lane: Int, wakeUps: inout [WakeUp]) {
            lanes[lane].append(message, number: counts.published)
            counts.published += 1
            for group in groups.indices { groups[group].arrived(in: lane, wakeUps: &wakeUps) }
        }

        /// Drops from a lane what every group has looked at.
        mutating func trim(_ lane: Int) {
            var least = lanes[lane].end
            for group in groups.indices { least = min(least, groups[group].cursor(in: lane)) }
            while lanes[lane].start < least { lanes[lane].dropFirst() }
        }

        /// Drops the message that was stored first.
        mutating func dropOldest() -> StoredMessage? {
            var oldest: (number: Int, lane: Int)?
            for lane in lanes.indices {
                guard let number = lanes[lane].firstNumber, number < oldest?.number ?? .max else { continue }
                oldest = (number, lane)
            }
            guard let oldest else { return nil }
            counts.dropped += 1
            return lanes[oldest.lane].dropFirst()
        }

        /// Whether every group has fewer unsettled messages than this.
        func hasRoom(below limit: Int) -> Bool {
            for group in groups.indices where groups[group].backlog >= limit { return false }
            return true
        }

        /// Calls the publisher that is first in line if there is room below a limit.
        mutating func admitNext(below limit: Int) -> Wakeup? {
            guard !publishers.isEmpty, admitted == 0, hasRoom(below: limit) else { return nil }
            let next = publishers.wakeFirst()
            admitted += next.count
            return next
        }
    }

    // MARK: Publishing

    /// What one step of publishing did.
    struct Stored: Sendable {
        /// How many of the envelopes were stored.
        var count = 0
        var dropped: [Envelope<Bytes>] = []
        /// The place in line for those that were not stored.
        var waiter: WaiterList.ID?
        fileprivate var wakeUps: [WakeUp] = []
        fileprivate var next: Wakeup?
    }

    /// Waits for room.
    ///
    /// - Returns: `false` if the task was cancelled. Otherwise ``store(_:isAdmitted:)`` must be called next, to use the turn or to
    ///   give it on.
    func waitForRoom(_ waiter: WaiterList.ID) async -> Bool {
        await monitor.suspend(waiter, in: \.publishers)
    }

    /// Stores envelopes in their order, as many as there is room for.
    ///
    /// - Parameters:
    ///   - envelopes: The envelopes, all of this topic.
    ///   - isAdmitted: Whether this call waited for its turn.
    /// - Returns: How many were stored, and the place in line for the others.
    func store(_ envelopes: ArraySlice<Envelope<Bytes>>, isAdmitted: Bool) -> Stored {
        let stored = monitor.withLock { state -> Stored in
            var stored = Stored()
            if isAdmitted { state.admitted -= 1 }
            // Whoever is in line, or was called from it, goes first.
            var mayStore = isAdmitted || (state.publishers.isEmpty && state.admitted == 0)
            for envelope in envelopes {
                mayStore = mayStore && state.hasRoom(below: settings.capacity)
                guard mayStore else {
                    stored.waiter = state.publishers.reserve()
                    break
                }
                let lane = settings.lane(for: envelope.attributes.partitionKey)
                state.append(.envelope(envelope), to: lane, wakeUps: &stored.wakeUps)
                stored.count += 1
                if state.groups.isEmpty, settings.retention == .untilRead, state.stored > settings.capacity,
                    case .envelope(let oldest) = state.dropOldest()
                {
                    stored.dropped.append(oldest)
                }
            }
            if stored.waiter == nil { stored.next = state.admitNext(below: settings.capacity) }
            return stored
        }
        for wakeUp in stored.wakeUps { wakeUp.notify() }
        stored.next?.resume()
        return stored
    }

    /// Stores bytes that are no message, whether there is room or not.
    func store(_ foreign: StoredMessage.Foreign) {
        let wakeUps = monitor.withLock { state -> [WakeUp] in
            var wakeUps: [WakeUp] = []
            state.append(.foreign(foreign), to: settings.partitions, wakeUps: &wakeUps)
            return wakeUps
        }
        for wakeUp in wakeUps { wakeUp.notify() }
    }

    // MARK: Reading

    /// Makes sure that a group is there.
    ///
    /// - Returns: Its index.
    func join(_ group: ConsumerGroup) -> Int {
        monitor.withLock { state in
            if let index = state.groups.firstIndex(where: { $0.name == group }) { return index }
            state.groups.append(InMemoryGroup(group, lanes: state.lanes, numbers: numbers))
            return state.groups.count - 1
        }
    }

    /// What one step of reading found.
    enum Taken: Sendable {
        case deliveries([Delivery])
        /// Nothing now; the member is woken when there is something. Messages that wait for their time come then.
        case nothing(until: MonotonicInstant?)
        case needsTime
    }

    func take(
        for member: InMemoryMember, in group: Int, atMost limit: Int, now: MonotonicInstant?, dice: FaultDice?
    ) -> Taken {
        let (taken, next) = monitor.withLock { state -> (Taken, Wakeup?) in
            if member.isClosed { return (.deliveries([]), nil) }
            if now == nil, state.groups[group].earliestLater != nil { return (.needsTime, nil) }
            var hand = HandOut(
                topic: name, limit: min(limit, state.groups[group].room), now: now,
                redeliveryDelay: settings.redeliveryDelay, dice: dice
            )
            let isKept = settings.retention == .all
            state.groups[group].take(
                for: member, from: &state.lanes, isLastReader: !isKept && state.groups.count == 1, hand: &hand
            )
            state.counts.add(hand.counts)
            if !isKept, state.groups.count > 1 {
                for lane in hand.lanes { state.trim(lane) }
            }
            guard hand.deliveries.isEmpty else { return (.deliveries(hand.deliveries), nil) }
            state.groups[group].rest(member)
            // Where members wait, publishers need not.
            let next = state.admitNext(below: settings.capacity)
            return (.nothing(until: state.groups[group].earliestLater), next)
        }
        next?.resume()
        return taken
    }

    /// The member waits no longer.
    func rise(_ member: InMemoryMember, in group: Int) {
        let wakeUps = monitor.withLock { state -> [WakeUp] in
            var wakeUps: [WakeUp] = []
            state.groups[group].rise(member, wakeUps: &wakeUps)
            return wakeUps
        }
        for wakeUp in wakeUps { wakeUp.notify() }
    }

    /// What settling did.
    struct Settled: Sendable {
        var rejected: [RejectedMessage] = []
        /// What will not come again, if that was asked for.
        var done: [StoredMessageID] = []
    }

    func settle(
        _ settlements: [Settlement], of member: InMemoryMember, in group: Int, now: MonotonicInstant?, notesDone: Bool
    ) -> Settled {
        let (wakeUps, next, settled) = monitor.withLock { state -> ([WakeUp], Wakeup?, Settled) in
            var wakeUps: [WakeUp] = []
            var settled = Settled()
            for settlement in settlements {
                let isDone =
                    switch settlement.outcome {
                    case .retry, .release: false
                    case .acknowledge, .reject: true
                    }
                let earliest = state.groups[group].earliestLater
                guard let flight = state.groups[group].end(settlement.delivery.number, of: member, isDone: isDone)
                else {
                    continue
                }
                if notesDone, isDone, case .envelope(let envelope) = flight.message.stored {
                    var isRejected = false
                    if case .reject = settlement.outcome { isRejected = true }
                    settled.done.append(
                        StoredMessageID(topic: name, id: envelope.attributes.id, isRejected: isRejected))
                }
                switch settlement.outcome {
                case .acknowledge: state.counts.acknowledged += 1
                case .retry(let delay):
                    state.counts.retried += 1
                    var message = flight.message
                    message.due = PendingMessage.atOnce
                    if let now, delay > .zero { message.due = now + delay }
                    state.groups[group].comeAgain(message, in: flight.lane)
                case .release:
                    state.counts.retried += 1
                    var message = flight.message
                    message.due = PendingMessage.atOnce
                    message.attempts -= 1
                    state.groups[group].comeAgain(message, in: flight.lane)
                case .reject(let reason):
                    state.counts.rejected += 1
                    settled.rejected.append(
                        RejectedMessage(
                            content: flight.message.stored.content, topic: name, group: state.groups[group].name,
                            reason: reason, attempts: flight.message.attempts
                        )
                    )
                }
                if let new = state.groups[group].earliestLater, new < earliest ?? .init(nanoseconds: .max) {
                    state.groups[group].wakeAll(&wakeUps)
                } else {
                    state.groups[group].wakeReader(of: flight.lane, &wakeUps)
                }
            }
            // Not at once when there is room for one: a publisher that waits again after each message costs more than it sends.
            return (wakeUps, state.admitNext(below: settings.capacity - settings.capacity / 8), settled)
        }
        for wakeUp in wakeUps { wakeUp.notify() }
        next?.resume()
        return settled
    }

    /// Takes back what a member that has gone did not settle.
    func takeBack(from member: InMemoryMember, in group: Int) {
        let wakeUps = monitor.withLock { state -> [WakeUp] in
            var wakeUps: [WakeUp] = []
            state.groups[group].rise(member, wakeUps: &wakeUps)
            state.groups[group].takeBack(from: member, wakeUps: &wakeUps)
            return wakeUps
        }
        for wakeUp in wakeUps { wakeUp.notify() }
    }

    // MARK: Inspection

    var counts: InMemoryTransport.Statistics {
        monitor.withLock { state in
            var counts = state.counts
            counts.retained = state.stored
            return counts
        }
    }

    /// The groups, in the order in which they came.
    var groups: [ConsumerGroup] { monitor.withLock { $0.groups.map(\.name) } }

    func backlog(of group: ConsumerGroup) -> Int {
        monitor.withLock { state in state.groups.first { $0.name == group }?.backlog ?? state.stored }
    }

    var hasPendingWork: Bool {
        monitor.withLock { state in state.groups.contains { $0.backlog > 0 } }
    }

    var pendingWork: [(topic: Topic, group: ConsumerGroup, count: Int)] {
        monitor.withLock(\.groups).filter { $0.backlog > 0 }.map { (name, $0.name, $0.backlog) }
    }
}
