// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What a member of a group has read, handed out and settled.
///
/// A pure value that is told of all that happens; it knows nothing of brokers and tasks.
struct MemberState: Sendable {
    enum Taken: Sendable {
        case deliveries([Delivery])
        /// Nothing can be handed out, until something happens or this instant has come.
        case nothing(until: MonotonicInstant?)
        case closed
    }

    /// What was settled of a partition and is to be told to the broker.
    struct Settled: Sendable {
        var acknowledged: [UInt64] = []
        var rejected: [UInt64] = []
    }

    private struct Slot: Sendable {
        var lanes = PartitionLanes()
        var inHand = 0
        var settled = Settled()
        /// Whether anything came, so that it is this member to whom the broker gives the queue.
        var isActive = false
        /// Is about to go to another member, so that nothing more is handed out.
        var isLeaving = false
    }

    private struct InHand: Sendable {
        let partition: Partition
        let message: PartitionLanes.Message
    }

    private var slots: [Partition: Slot] = [:]
    /// The partitions in the order in which they take their turns.
    private var turns: [Partition] = []
    private var turn = 0
    private var inHand: [UInt64: InHand] = [:]

    private(set) var isClosed = false
    /// Why the member cannot go on.
    var failure: TransportError?

    // MARK: Partitions

    /// Begins to read a partition.
    mutating func open(_ partition: Partition) {
        slots[partition] = Slot()
        if !turns.contains(partition) { turns.append(partition) }
    }

    /// Forgets a partition that the broker gives to others now; deliveries of it can no longer be settled.
    mutating func drop(_ partition: Partition) {
        guard slots.removeValue(forKey: partition) != nil else { return }
        turns.removeAll { $0 == partition }
        turn = 0
        for (number, item) in inHand where item.partition == partition { inHand[number] = nil }
    }

    /// Forgets all partitions, since the connection is gone.
    mutating func dropAll() {
        slots = [:]
        turns = []
        turn = 0
        inHand = [:]
    }

    /// Hands out nothing more of a partition that another member is to have.
    mutating func leave(_ partition: Partition) { slots[partition]?.isLeaving = true }

    /// Whether nothing of a partition is in hand.
    func isIdle(_ partition: Partition) -> Bool { (slots[partition]?.inHand ?? 0) == 0 }

    /// The partitions of which something came, and that are to be kept.
    var active: [Partition] { turns.filter { slots[$0].map { $0.isActive && !$0.isLeaving } ?? false } }

    /// Hands out nothing more; what is in hand can still be settled.
    mutating func close() { isClosed = true }

    /// How many messages are here that are not settled.
    func unsettled(of topic: Topic) -> Int {
        slots.reduce(0) { $1.key.topic == topic ? $0 + $1.value.inHand + $1.value.lanes.count : $0 }
    }

    // MARK: Messages

    /// Takes a message that came; leaves it out if its partition is not this member's.
    mutating func received(_ message: PartitionLanes.Message, of partition: Partition) {
        slots[partition]?.lanes.received(message)
        slots[partition]?.isActive = true
    }

    /// Hands out what is due.
    ///
    /// - Parameters:
    ///   - limit: The most deliveries, 1 or more.
    ///   - now: The time.
    ///   - number: Makes the numbers of deliveries.
    /// - Returns: The deliveries, or when to come again.
    /// - Throws: ``TransportError`` if the member cannot go on.
    mutating func take(
        atMost limit: Int, now: MonotonicInstant, number: () -> UInt64
    ) throws(TransportError) -> Taken {
        if isClosed { return .closed }
        if let failure { throw failure }
        var deliveries: [Delivery] = []
        var messages: [PartitionLanes.Message] = []
        for index in turns.indices where deliveries.count < limit {
            let partition = turns[(turn + index) % turns.count]
            guard slots[partition]?.isLeaving == false else { continue }
            messages.removeAll(keepingCapacity: true)
            slots[partition]?.lanes.take(atMost: limit - deliveries.count, now: now, into: &messages)
            slots[partition]?.inHand += messages.count
            for message in messages {
                let id = number()
                inHand[id] = InHand(partition: partition, message: message)
                deliveries.append(
                    Delivery(
                        id: Delivery.ID(number: id), content: message.content, topic: partition.topic,
                        partition: Int(partition.number), offset: Int(clamping: message.offset), attempt: nil))
            }
        }
        if !turns.isEmpty { turn = (turn + 1) % turns.count }
        if !deliveries.isEmpty { return .deliveries(deliveries) }
        return .nothing(until: slots.values.compactMap { $0.isLeaving ? nil : $0.lanes.nextDue }.min())
    }

    /// Who may wait for what was settled.
    struct Effect: Sendable, Hashable {
        /// A message comes again, so that who waits for messages may get one.
        var comesAgain = false
        /// The broker is to hear of it, or a partition may be given away.
        var concernsBroker = false
    }

    /// Settles deliveries; does nothing about those that are not in hand.
    mutating func settle(_ settlements: [Settlement], now: MonotonicInstant) -> Effect {
        var effect = Effect()
        for settlement in settlements {
            guard let item = inHand.removeValue(forKey: settlement.delivery.number) else { continue }
            slots[item.partition]?.inHand -= 1
            let tag = UInt64(bitPattern: item.message.offset)
            switch settlement.outcome {
            case .acknowledge:
                slots[item.partition]?.settled.acknowledged.append(tag)
                effect.concernsBroker = true
            case .reject:
                slots[item.partition]?.settled.rejected.append(tag)
                effect.concernsBroker = true
            case .retry(let delay):
                slots[item.partition]?.lanes.takeBack(item.message, due: now + max(.zero, delay))
                effect.comesAgain = true
            case .release:
                slots[item.partition]?.lanes.takeBack(item.message, due: now)
                effect.comesAgain = true
            }
            if slots[item.partition]?.isLeaving == true { effect.concernsBroker = true }
        }
        return effect
    }

    /// What was settled since the last time, for each partition.
    mutating func takeSettled() -> [(partition: Partition, settled: Settled)] {
        var all: [(partition: Partition, settled: Settled)] = []
        for partition in turns {
            guard let settled = slots[partition]?.settled, !settled.acknowledged.isEmpty || !settled.rejected.isEmpty
            else { continue }
            all.append((partition, settled))
            slots[partition]?.settled = Settled()
        }
        return all
    }
}

/// A partition of a topic.
struct Partition: Hashable, Sendable {
    let topic: Topic
    let number: Int32

    /// Looked up several times for each message: of the few there are, hardly two have the same number.
    func hash(into hasher: inout Hasher) {
        hasher.combine(number)
    }
}

/// Which partitions a member keeps when there are others.
enum FairShare {
    /// How many partitions at most a member keeps.
    static func most(of partitions: Int, among members: Int) -> Int {
        let members = max(1, members)
        return (partitions + members - 1) / members
    }

    /// The partitions that a member is to give up, since it has more than its share.
    static func surplus(of active: [Partition], partitions: Int, members: Int) -> [Partition] {
        Array(active.dropFirst(most(of: partitions, among: members)))
    }
}
