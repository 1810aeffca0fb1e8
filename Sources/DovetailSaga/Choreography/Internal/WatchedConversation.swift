// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A conversation as the watch keeps it.
struct WatchedConversation: Codable, Sendable {
    /// The most messages of one conversation that are kept, so that one that goes round for ever does not grow for ever.
    static let mostMessages = 200

    var messages: [Conversation.Message] = []
    var uncounted = 0
    var stalls: [Stall] = []
    /// Under which key the conversation is to be looked at next, if it is.
    var dueKey: String?
    /// Under which key a sweep finds it.
    var ageKey: String?
    /// Whether it is in the list of those that have stalled.
    var isListed = false

    /// - Returns: Whether the message is new.
    mutating func add(_ message: Conversation.Message) -> Bool {
        guard !messages.contains(where: { $0.id == message.id }) else { return false }
        guard messages.count < Self.mostMessages else {
            uncounted += 1
            return true
        }
        messages.append(message)
        return true
    }

    /// Whether something is late that has not come since.
    var isStalled: Bool { stalls.contains { $0.resolvedAt == nil } }

    /// What is to be told and was not.
    var untold: [Int] {
        stalls.indices.filter { !stalls[$0].toldRaised || stalls[$0].resolvedAt != nil && !stalls[$0].toldResolved }
    }

    /// Notes what is late by now, and what has come since it was.
    ///
    /// - Returns: The stalls that are new, and those that are over.
    mutating func update(with progress: FlowProgress, at now: Timestamp) -> (raised: [Stall], resolved: [Stall]) {
        let open = progress.expectations
        var (raised, resolved): ([Stall], [Stall]) = ([], [])
        for index in stalls.indices where stalls[index].resolvedAt == nil {
            guard !open.contains(where: { $0.hop == stalls[index].hop && $0.round == stalls[index].round }) else {
                continue
            }
            stalls[index].resolvedAt = now
            resolved.append(stalls[index])
        }
        for expectation in open where expectation.due <= now {
            let isKnown = stalls.contains {
                $0.resolvedAt == nil && $0.hop == expectation.hop && $0.round == expectation.round
            }
            guard !isKnown, stalls.count < Self.mostMessages else { continue }
            let stall = Stall(
                participant: expectation.participant, after: expectation.after, expected: expectation.expected,
                since: expectation.since, due: expectation.due, hop: expectation.hop, round: expectation.round)
            stalls.append(stall)
            raised.append(stall)
        }
        return (raised, resolved)
    }

    /// When something will be late that is not yet; `nil` if nothing can be.
    func nextDue(_ progress: FlowProgress, after now: Timestamp) -> Timestamp? {
        progress.expectations.map(\.due).filter { $0 > now }.min()
    }

    func state(_ progress: FlowProgress) -> Conversation.State {
        if isStalled { return .stalled }
        if progress.expectations.isEmpty, let end = progress.end { return .ended(end) }
        return .running
    }
}

/// Names a conversation in a list that sorts by time.
struct WatchedName: Codable, Sendable {
    let conversation: CorrelationID
}
