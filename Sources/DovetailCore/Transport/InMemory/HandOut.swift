// SPDX-License-Identifier: Apache-2.0

/// Collects what is handed out in one step, and decides about the faults of that step.
struct HandOut: Sendable {
    let topic: Topic
    let limit: Int
    let now: MonotonicInstant?
    let redeliveryDelay: Duration
    var dice: FaultDice?
    /// The lane that is read now.
    private(set) var lane = 0
    /// The lanes that were read, with some in between.
    private(set) var lanes = 0..<0
    private(set) var deliveries: [Delivery] = []
    private(set) var counts = InMemoryTransport.Statistics()

    init(topic: Topic, limit: Int, now: MonotonicInstant?, redeliveryDelay: Duration, dice: FaultDice?) {
        self.topic = topic
        self.limit = limit
        self.now = now
        self.redeliveryDelay = redeliveryDelay
        self.dice = dice
    }

    var hasRoom: Bool { deliveries.count < limit }
    var hasFaults: Bool { dice != nil }

    mutating func read(_ lane: Int) {
        self.lane = lane
        lanes = lanes.isEmpty ? lane..<lane + 1 : min(lane, lanes.lowerBound)..<max(lane + 1, lanes.upperBound)
    }

    mutating func deliver(_ message: PendingMessage, number: UInt64) {
        counts.delivered += 1
        if message.attempts > 1 { counts.redelivered += 1 }
        deliveries.append(
            Delivery(
                id: Delivery.ID(number: number), content: message.stored.content, topic: topic,
                partition: lane, offset: message.offset, attempt: message.attempts
            )
        )
    }

    // MARK: Faults

    /// Whether the next message of the lane goes before this one; in a lane that has order only where that may be broken.
    mutating func isOvertaken(hasOrder: Bool) -> Bool {
        guard let faults = dice?.faults, !(hasOrder && faults.keepsOrderOfKeys) else { return false }
        return goesWrong("overtaken", faults.reorder)
    }

    /// The message as it comes when the reader hears of its sender again, if it does not now.
    mutating func heldUp(_ message: PendingMessage) -> PendingMessage? {
        guard let end = dice?.heldUp(message.stored) else { return nil }
        var message = message
        message.due = end
        counts.delayed += 1
        return message
    }

    /// The message as it comes back later, if a fault keeps it from the member now.
    mutating func keptBack(_ message: PendingMessage) -> PendingMessage? {
        guard var dice, let now else { return nil }
        defer { self.dice = dice }
        if let message = heldUp(message) { return message }
        var message = message
        if dice.deliveryFault("lost", dice.faults.lose, of: topic) != nil {
            message.attempts += 1
            message.due = now + redeliveryDelay
            counts.lost += 1
            return message
        }
        if message.attempts == 0, !message.isLate,
            let amount = dice.deliveryFault("late", dice.faults.delay, of: topic)
        {
            message.due = now + .nanoseconds(Int64(Double(max(0, dice.faults.longestDelay.nanoseconds)) * amount))
            message.isLate = true
            counts.delayed += 1
            return message
        }
        return nil
    }

    /// The copy of a message that is delivered twice, if it is handed out for the first time.
    mutating func repeated(_ message: PendingMessage) -> PendingMessage? {
        guard message.attempts == 0, let share = dice?.faults.duplicate, goesWrong("repeated", share) else {
            return nil
        }
        var copy = message
        copy.attempts += 1
        copy.due = PendingMessage.atOnce
        counts.duplicated += 1
        return copy
    }

    private mutating func goesWrong(_ kind: StaticString, _ share: Double) -> Bool {
        guard var dice else { return false }
        defer { self.dice = dice }
        return dice.deliveryFault(kind, share, of: topic) != nil
    }
}
