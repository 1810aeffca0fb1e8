// SPDX-License-Identifier: Apache-2.0

/// A message that a group has not settled yet.
struct PendingMessage: Sendable {
    static let atOnce = MonotonicInstant(nanoseconds: .min)

    let stored: StoredMessage
    let offset: Int
    /// How often it was handed out so far.
    var attempts = 0
    /// When it may be handed out.
    var due = PendingMessage.atOnce
    /// Whether a fault has let it come late; once is enough.
    var isLate = false
}

/// What one group has read of a topic: a value, changed only under the lock of its topic.
///
/// The order per key needs no protocol between members: a lane belongs to a member only while that member has unsettled
/// deliveries of it, and a key with a message that is to come again holds back its later messages, and only those.
struct InMemoryGroup: Sendable {
    /// What the group has read of one lane.
    struct Reader: Sendable {
        /// The offset of the first message that was never looked at.
        var cursor: Int
        /// The member that has unsettled deliveries of an ordered lane.
        var owner: InMemoryMember?
        var inFlight = 0
        /// To be handed out before anything new, in order; of a held key only a hint, the message itself is in `held`.
        var ready = RingBuffer<PendingMessage>()
        /// Overtaken by a fault; handed out after the next message.
        var overtaken = RingBuffer<PendingMessage>()
        var held: [PartitionKey: HeldKey] = [:]
    }

    /// A key with a message that comes again.
    ///
    /// Its messages are handed out one at a time until none is left.
    struct HeldKey: Sendable {
        var waiting = RingBuffer<PendingMessage>()
        /// The delivery that has to be settled before the next one.
        var delivery: UInt64?
    }

    let name: ConsumerGroup
    /// The number of lanes that keep order; the one after them does not.
    let orderedLanes: Int
    private var readers: [Reader]
    /// Messages that are not settled, wherever they are.
    private(set) var backlog: Int
    /// How much there may be to hand out in each lane; kept apart from the readers so that a scan is short.
    private var work: [Int]
    private var totalWork: Int
    private var inFlight: InFlightTable
    private var later = DueQueue()
    private var idle: [InMemoryMember] = []
    private var firstLane = 0

    init(_ name: ConsumerGroup, lanes: [InMemoryLane], numbers: DeliveryNumbers) {
        self.name = name
        orderedLanes = lanes.count - 1
        readers = lanes.map { Reader(cursor: $0.start) }
        work = lanes.map { $0.end - $0.start }
        totalWork = work.reduce(0, +)
        backlog = totalWork
        inFlight = InFlightTable(numbers: numbers)
    }

    /// How many more messages can be in the hands of members.
    var room: Int { inFlight.room }

    /// When the earliest message comes that waits for its time; `nil` if none does.
    var earliestLater: MonotonicInstant? { later.earliest }

    /// The offset up to which the group has looked at a lane.
    func cursor(in lane: Int) -> Int { readers[lane].cursor }

    // MARK: Arrivals

    /// A message was stored in a lane.
    mutating func arrived(in lane: Int, wakeUps: inout [WakeUp]) {
        backlog += 1
        added(1, to: lane)
        wakeReader(of: lane, &wakeUps)
    }

    private mutating func added(_ count: Int, to lane: Int) {
        work[lane] += count
        totalWork += count
    }

    // MARK: Handing out

    /// Hands out messages to a member.
    ///
    /// - Parameters:
    ///   - member: Who asks.
    ///   - lanes: What the topic has stored.
    ///   - isLastReader: Whether what is read can be dropped.
    ///   - hand: Takes what is handed out.
    mutating func take(
        for member: InMemoryMember, from lanes: inout [InMemoryLane], isLastReader: Bool, hand: inout HandOut
    ) {
        if let now = hand.now {
            while let due = later.popDue(at: now) {
                makeReady(due.message, in: due.lane)
            }
        }
        var lane = firstLane
        for _ in 0..<readers.count where totalWork > 0 && hand.hasRoom {
            if work[lane] > 0, readers[lane].owner == nil || readers[lane].owner === member {
                hand.read(lane)
                takeAgain(for: member, hand: &hand)
                takeNew(for: member, from: &lanes[lane], isLastReader: isLastReader, hand: &hand)
                firstLane = lane + 1 == readers.count ? 0 : lane + 1
            }
            lane = lane + 1 == readers.count ? 0 : lane + 1
        }
    }

    /// Hands out messages that come again.
    private mutating func takeAgain(for member: InMemoryMember, hand: inout HandOut) {
        let lane = hand.lane
        while hand.hasRoom, let message = readers[lane].ready.popFirst() {
            added(-1, to: lane)
            guard let key = orderingKey(of: message, in: lane) else {
                _ = offer(message, to: member, hand: &hand)
                continue
            }
            // A hint may be outdated: the key waits for a delivery, or an earlier message of it came back meanwhile.
            guard var held = readers[lane].held[key], held.delivery == nil,
                let first = held.waiting.first, first.offset == message.offset, first.due == message.due
            else { continue }
            _ = held.waiting.popFirst()
            readers[lane].held[key] = held
            if let number = offer(first, to: member, hand: &hand) {
                readers[lane].held[key]?.delivery = number
            }
        }
    }

    /// Hands out messages that were never handed out.
    private mutating func takeNew(
        for member: InMemoryMember, from log: inout InMemoryLane, isLastReader: Bool, hand: inout HandOut
    ) {
        let lane = hand.lane
        var mayPassOvertaken = false
        while hand.hasRoom {
            let isAtEnd = readers[lane].cursor == log.end
            if mayPassOvertaken || isAtEnd, let message = readers[lane].overtaken.popFirst() {
                mayPassOvertaken = false
                added(-1, to: lane)
                if let late = hand.heldUp(message) {
                    comeAgain(late, in: lane)
                } else {
                    _ = handOut(message, to: member, hand: &hand)
                }
                continue
            }
            guard let stored = log.read(at: readers[lane].cursor, isLastReader: isLastReader) else { return }
            let message = PendingMessage(stored: stored, offset: readers[lane].cursor)
            readers[lane].cursor += 1
            if hand.isOvertaken(hasOrder: lane < orderedLanes), readers[lane].cursor < log.end {
                readers[lane].overtaken.append(message)
                continue
            }
            added(-1, to: lane)
            if !readers[lane].held.isEmpty, let key = orderingKey(of: message, in: lane), readers[lane].held[key] != nil
            {
                readers[lane].held[key]?.waiting.append(message)
                continue
            }
            mayPassOvertaken = offer(message, to: member, hand: &hand) != nil
        }
    }

    private func orderingKey(of message: PendingMessage, in lane: Int) -> PartitionKey? {
        lane < orderedLanes ? message.stored.partitionKey : nil
    }

    /// Hands a message out, unless a fault keeps it back.
    ///
    /// - Returns: The number of the delivery.
    private mutating func offer(
        _ message: PendingMessage, to member: InMemoryMember, hand: inout HandOut
    ) -> UInt64? {
        guard hand.hasFaults else { return handOut(message, to: member, hand: &hand) }
        if let late = hand.keptBack(message) {
            comeAgain(late, in: hand.lane)
            return nil
        }
        let number = handOut(message, to: member, hand: &hand)
        if let copy = hand.repeated(message) {
            backlog += 1
            comeAgain(copy, in: hand.lane)
        }
        return number
    }

    private mutating func handOut(_ message: PendingMessage, to member: InMemoryMember, hand: inout HandOut) -> UInt64 {
        var message = message
        message.attempts += 1
        if hand.lane < orderedLanes { readers[hand.lane].owner = member }
        readers[hand.lane].inFlight += 1
        let number = inFlight.insert(message, lane: hand.lane, member: member)
        hand.deliver(message, number: number)
        return number
    }

    // MARK: Settling

    /// Ends a delivery and says which it was; `nil` if the member does not have it.
    ///
    /// What is to come again must be given to ``comeAgain(_:in:)`` next.
    mutating func end(_ number: UInt64, of member: InMemoryMember, isDone: Bool) -> InFlightMessage? {
        guard let flight = inFlight.remove(number, of: member) else { return nil }
        ended(flight, isDone: isDone)
        return flight
    }

    private mutating func ended(_ flight: InFlightMessage, isDone: Bool) {
        let lane = flight.lane
        readers[lane].inFlight -= 1
        if readers[lane].inFlight == 0 { readers[lane].owner = nil }
        if isDone { backlog -= 1 }
        guard !readers[lane].held.isEmpty, let key = orderingKey(of: flight.message, in: lane),
            let held = readers[lane].held[key], held.delivery == flight.number
        else { return }
        readers[lane].held[key]?.delivery = nil
        guard isDone else { return }
        if let next = held.waiting.first {
            schedule(next, in: lane)
        } else {
            readers[lane].held[key] = nil
        }
    }

    /// Takes back all that a member has not settled, in order.
    mutating func takeBack(from member: InMemoryMember, wakeUps: inout [WakeUp]) {
        let flights = inFlight.removeAll(of: member)
        for flight in flights {
            ended(flight, isDone: false)
            var message = flight.message
            message.due = PendingMessage.atOnce
            comeAgain(message, in: flight.lane)
        }
        for flight in flights { wakeReader(of: flight.lane, &wakeUps) }
    }

    /// Keeps a message until it is due.
    ///
    /// Later messages of its key wait for it.
    mutating func comeAgain(_ message: PendingMessage, in lane: Int) {
        guard let key = orderingKey(of: message, in: lane) else {
            schedule(message, in: lane)
            return
        }
        var held = readers[lane].held.removeValue(forKey: key) ?? HeldKey()
        held.waiting.insert(message) { $0.offset < $1.offset }
        let next = held.delivery == nil ? held.waiting.first : nil
        readers[lane].held[key] = held
        if let next { schedule(next, in: lane) }
    }

    private mutating func schedule(_ message: PendingMessage, in lane: Int) {
        if message.due == PendingMessage.atOnce {
            makeReady(message, in: lane)
        } else {
            later.insert(message, lane: lane)
        }
    }

    private mutating func makeReady(_ message: PendingMessage, in lane: Int) {
        readers[lane].ready.insert(message) { $0.offset < $1.offset }
        added(1, to: lane)
    }

    // MARK: Waiting members

    mutating func rest(_ member: InMemoryMember) {
        if !idle.contains(where: { $0 === member }) { idle.append(member) }
    }

    /// The member waits no longer.
    ///
    /// If it was woken meanwhile, another one is woken for the same work.
    mutating func rise(_ member: InMemoryMember, wakeUps: inout [WakeUp]) {
        if let index = idle.firstIndex(where: { $0 === member }) {
            idle.remove(at: index)
        } else if totalWork > 0 {
            wakeFirst(&wakeUps)
        }
    }

    /// Wakes the one member that can read a lane: its owner, or any if it has none.
    mutating func wakeReader(of lane: Int, _ wakeUps: inout [WakeUp]) {
        guard !idle.isEmpty, work[lane] > 0 else { return }
        guard let owner = readers[lane].owner else { return wakeFirst(&wakeUps) }
        if let index = idle.firstIndex(where: { $0 === owner }) {
            wakeUps.append(idle.remove(at: index).wakeUp)
        }
    }

    private mutating func wakeFirst(_ wakeUps: inout [WakeUp]) {
        if !idle.isEmpty { wakeUps.append(idle.removeFirst().wakeUp) }
    }

    /// Every waiting member knows the earliest time to come; all have to hear of an earlier one.
    mutating func wakeAll(_ wakeUps: inout [WakeUp]) {
        for member in idle { wakeUps.append(member.wakeUp) }
        idle = []
    }
}
