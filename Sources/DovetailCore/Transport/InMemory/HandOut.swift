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

    /// Whether the next message of the lane goes before this one.
    mutating func isOvertaken() -> Bool {
        guard let share = dice?.faults.reorder else { return false }
        return dice?.chance(share) ?? false
    }

    /// The message as it comes back later, if a fault keeps it from the member now.
    mutating func keptBack(_ message: PendingMessage) -> PendingMessage? {
        guard var dice, let now else { return nil }
        defer { self.dice = dice }
        var message = message
        if dice.chance(dice.faults.lose) {
            message.attempts += 1
            message.due = now + redeliveryDelay
            counts.lost += 1
            return message
        }
        if message.attempts == 0, !message.isLate, dice.chance(dice.faults.delay) {
            message.due = now + .nanoseconds(Int64(Double(max(0, dice.faults.longestDelay.nanoseconds)) * dice.unit()))
            message.isLate = true
            counts.delayed += 1
            return message
        }
        return nil
    }

    /// The copy of a message that is delivered twice, if it is handed out for the first time.
    mutating func repeated(_ message: PendingMessage) -> PendingMessage? {
        guard message.attempts == 0, let share = dice?.faults.duplicate, dice?.chance(share) == true else { return nil }
        var copy = message
        copy.attempts += 1
        copy.due = PendingMessage.atOnce
        counts.duplicated += 1
        return copy
    }
}
