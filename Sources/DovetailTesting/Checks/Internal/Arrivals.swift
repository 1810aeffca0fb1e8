// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// What arrived of a number of expected messages, noted by many members at once.
final class Arrivals: Sendable {
    /// A delivery; its identifier is unique only within the subscription of its member.
    private struct Hand: Hashable {
        let member: Int
        let delivery: Delivery.ID
    }

    private struct State: Sendable {
        var first: [Delivery] = []
        var seen: Set<MessageID> = []
        var missing: Set<MessageID>
        var inHand: [Hand: MessageID] = [:]
        var heldTwice: MessageID?
    }

    let expected: Set<MessageID>
    /// What was settled before, and may come once more as deliveries at least once do.
    private let repeats: Set<MessageID>
    private let state: Mutex<State>

    init(_ expected: [MessageID], repeats: [MessageID] = []) {
        self.expected = Set(expected)
        self.repeats = Set(repeats)
        state = Mutex(State(missing: Set(expected)))
    }

    /// The first arrival of each message, in order.
    var first: [Delivery] { state.withLock { $0.first } }

    /// What was not acknowledged or rejected yet.
    var missing: Set<MessageID> { state.withLock { $0.missing } }

    var isComplete: Bool { state.withLock { $0.missing.isEmpty } }

    /// A message that was in two hands at once, if there was one.
    var heldTwice: MessageID? { state.withLock { $0.heldTwice } }

    /// Notes deliveries that were handed out.
    ///
    /// - Returns: The identifier of one that was not expected.
    func arrived(_ deliveries: [Delivery], at member: Int) -> MessageID? {
        state.withLock { state in
            for delivery in deliveries {
                guard let id = delivery.envelope?.id, expected.contains(id) else {
                    if let id = delivery.envelope?.id, repeats.contains(id) { continue }
                    return delivery.envelope?.id ?? "undecodable"
                }
                if state.seen.insert(id).inserted { state.first.append(delivery) }
                if state.inHand.values.contains(id) { state.heldTwice = id }
                state.inHand[Hand(member: member, delivery: delivery.id)] = id
            }
            return nil
        }
    }

    /// Notes that a member is about to settle these: from now on others may have them.
    ///
    /// - Returns: The messages that will then be done.
    func letGo(_ settlements: [Settlement], by member: Int) -> [MessageID] {
        state.withLock { state in
            settlements.compactMap { settlement in
                let id = state.inHand.removeValue(forKey: Hand(member: member, delivery: settlement.delivery))
                if case .retry = settlement.outcome { return nil }
                return id
            }
        }
    }

    /// Notes messages that were settled for good.
    func done(_ messages: [MessageID]) {
        state.withLock { $0.missing.subtract(messages) }
    }
}
