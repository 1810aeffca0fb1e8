// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What a member of a group has read, handed out and settled.
///
/// A pure value that is told of all that happens; it knows nothing of brokers and tasks.
struct MemberState: Sendable {
    struct Limits: Sendable {
        /// How many messages of a partition may be there from the first unsettled one on.
        var mostUnsettled: Int
        /// How many bytes all messages that are there may take up together.
        var mostBytes: Int
    }

    struct Position: Sendable, Hashable {
        let partition: Partition
        let offset: Int64
    }

    enum Taken: Sendable {
        case deliveries([Delivery])
        /// Nothing can be handed out, until something happens or this instant has come.
        case nothing(until: MonotonicInstant?)
        case closed
    }

    private struct Slot: Sendable {
        var tracker = OffsetTracker()
        var lanes = PartitionLanes()
        var inHand = 0
        /// The position that was last given to be committed.
        var committed: Int64?
        var isPaused = false
        /// Is about to go to another member, so that nothing more is handed out.
        var isLeaving = false
    }

    private struct InHand: Sendable {
        let partition: Partition
        let message: PartitionLanes.Message
    }

    let limits: Limits
    private var slots: [Partition: Slot] = [:]
    /// The partitions in the order in which they take their turns.
    private var turns: [Partition] = []
    private var turn = 0
    private var inHand: [UInt64: InHand] = [:]
    private var byteCount = 0

    private(set) var isClosed = false
    /// Why the member cannot go on.
    var failure: TransportError?

    init(limits: Limits) {
        self.limits = limits
    }

    // MARK: Coming and going of partitions

    mutating func assign(_ partitions: [Partition]) {
        for partition in partitions where slots[partition] == nil && !isClosed {
            slots[partition] = Slot()
            turns.append(partition)
        }
    }

    /// Hands out nothing more of partitions that another member is to have.
    mutating func leave(_ partitions: [Partition]) {
        for partition in partitions { slots[partition]?.isLeaving = true }
    }

    /// Whether messages of these partitions were handed out and are not settled yet.
    func isInHand(anyOf partitions: [Partition]) -> Bool {
        partitions.contains { (slots[$0]?.inHand ?? 0) > 0 }
    }

    /// Forgets partitions that are no longer this member's; deliveries of theirs can no longer be settled.
    mutating func remove(_ partitions: [Partition]) {
        for partition in partitions { slots[partition] = nil }
        turns.removeAll { slots[$0] == nil }
        turn = 0
        for (number, item) in inHand where slots[item.partition] == nil { inHand[number] = nil }
        byteCount = inHand.values.reduce(0) { $0 + $1.message.byteCount }
        for slot in slots.values { byteCount += slot.lanes.byteCount }
    }

    /// Hands out nothing more; what is in hand can still be settled.
    mutating func close() {
        isClosed = true
    }

    /// The partitions that are this member's.
    var partitions: [Partition] { turns }

    // MARK: Messages

    /// Takes a message that was read; leaves it out if its partition is not this member's.
    mutating func received(_ message: PartitionLanes.Message, of partition: Partition) {
        guard let slot = slots[partition] else { return }
        if slot.tracker.isRewind(message.offset) { rewind(partition, to: message.offset) }
        slots[partition]?.tracker.received(message.offset)
        slots[partition]?.lanes.received(message)
        byteCount += message.byteCount
    }

    /// Forgets what was read of a partition from an offset on, since reading has gone back: it comes again, or is no longer
    /// there.
    ///
    /// What lies before the offset does not come again: forgotten, it would be committed with what is behind it.
    private mutating func rewind(_ partition: Partition, to offset: Int64) {
        guard var slot = slots[partition] else { return }
        slot.tracker.rewind(to: offset)
        slot.committed = slot.tracker.position == nil ? nil : slot.committed
        byteCount -= slot.lanes.byteCount
        slot.lanes.removeAll(from: offset)
        byteCount += slot.lanes.byteCount
        for (number, item) in inHand where item.partition == partition && item.message.offset >= offset {
            inHand[number] = nil
            slot.inHand -= 1
            byteCount -= item.message.byteCount
        }
        slots[partition] = slot
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
    struct Settled: Sendable, Hashable {
        /// A message comes again, so that who waits for messages may get one.
        var comesAgain = false
        /// There is more room, or a partition may be given away.
        var makesWay = false
    }

    /// Settles deliveries; does nothing about those that are not in hand.
    mutating func settle(_ settlements: [Settlement], now: MonotonicInstant) -> Settled {
        let wasShort = room != .free
        var settled = Settled()
        for settlement in settlements {
            guard let item = inHand.removeValue(forKey: settlement.delivery.number) else { continue }
            slots[item.partition]?.inHand -= 1
            switch settlement.outcome {
            case .acknowledge, .reject:
                slots[item.partition]?.tracker.settle(item.message.offset)
                byteCount -= item.message.byteCount
            case .retry(let delay):
                slots[item.partition]?.lanes.takeBack(item.message, due: now + max(.zero, delay))
                settled.comesAgain = true
            case .release:
                slots[item.partition]?.lanes.takeBack(item.message, due: now)
                settled.comesAgain = true
            }
            if let slot = slots[item.partition], slot.isLeaving || slot.isPaused { settled.makesWay = true }
        }
        if wasShort { settled.makesWay = true }
        return settled
    }

    // MARK: Positions

    private func uncommitted(_ partition: Partition) -> Position? {
        guard let slot = slots[partition], let offset = slot.tracker.position, offset != slot.committed else {
            return nil
        }
        return Position(partition: partition, offset: offset)
    }

    /// The positions that moved since they were last given out, of all partitions or of these.
    mutating func takePositions(of partitions: [Partition]? = nil) -> [Position] {
        let positions = (partitions ?? turns).compactMap { uncommitted($0) }
        for position in positions { slots[position.partition]?.committed = position.offset }
        return positions
    }

    /// Has a position given out again, since it was not committed.
    mutating func commitFailed(_ partition: Partition) {
        slots[partition]?.committed = nil
    }

    // MARK: Back-pressure

    /// Whether more can be taken in.
    enum Room: Sendable {
        /// Of every partition that is read.
        case free
        /// Of some partitions that are read, and of others not.
        case short
        /// Of none.
        case none
    }

    private func isCrowded(_ slot: Slot) -> Bool {
        slot.tracker.count >= limits.mostUnsettled
    }

    /// The room there is; partitions that are paused do not count, since nothing of theirs comes.
    var room: Room {
        if byteCount >= limits.mostBytes { return .none }
        var (isCrowded, isRoomy) = (false, false)
        for slot in slots.values where !slot.isPaused {
            if self.isCrowded(slot) { isCrowded = true } else { isRoomy = true }
        }
        return isCrowded ? (isRoomy ? .short : .none) : .free
    }

    /// The partitions to stop reading from now; they count as paused from then on.
    mutating func pauseCrowded() -> [Partition] {
        let crowded = turns.filter { slots[$0].map { !$0.isPaused && isCrowded($0) } ?? false }
        for partition in crowded { slots[partition]?.isPaused = true }
        return crowded
    }

    /// The partitions to read from again, since half of their room is free.
    mutating func resumeRoomy() -> [Partition] {
        let roomy = turns.filter { partition in
            slots[partition].map { $0.isPaused && $0.tracker.count <= limits.mostUnsettled / 2 } ?? false
        }
        for partition in roomy { slots[partition]?.isPaused = false }
        return roomy
    }

    /// Those of these partitions that are paused.
    func paused(of partitions: [Partition]) -> [Partition] {
        partitions.filter { slots[$0]?.isPaused ?? false }
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
