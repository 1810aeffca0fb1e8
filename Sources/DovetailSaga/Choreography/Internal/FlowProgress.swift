// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// How far a conversation has come in its flow, judged by its messages alone.
///
/// It counts: a hop is to make its move as often as all that it waits for has come, and has made it as often as what may come of it
/// has. So neither the order in which messages are seen matters, nor how often each is, and a flow may go round.
struct FlowProgress {
    /// A move that is to come.
    struct Expectation {
        /// The hop in words, which stays the same when the flow is declared in another order.
        let hop: String
        let participant: String
        let after: [MessageType]
        let expected: [MessageType]
        /// Which time of making the move it is, from 0.
        let round: Int
        let since: Timestamp
        let due: Timestamp
    }

    private(set) var expectations: [Expectation] = []
    /// The end that was reached, if one was.
    private(set) var end: String?

    init(_ messages: [Conversation.Message], in flow: Choreography) {
        let kinds = Dictionary(messages.map { ($0.id, FlowEvent.Key($0)) }, uniquingKeysWith: { first, _ in first })
        let beginnings = flow.hops.filter(\.isBeginning).flatMap(\.emissions)
        /// How often an event came of a hop, as far as can be told.
        func count(_ event: FlowEvent, of hop: Hop) -> Int {
            let key = FlowEvent.Key(event.type, event.version)
            return messages.count { message in
                guard FlowEvent.Key(message) == key else { return false }
                guard !hop.isBeginning, hop.deadline == nil else { return true }
                // What names no cause came from a beginning, where there is one that it can come from.
                guard let cause = message.cause else { return !beginnings.contains(event) }
                // What is known to have been caused by something else came from another hop.
                return kinds[cause].map { kind in
                    hop.inputs.contains { FlowEvent.Key($0.type, $0.version) == kind }
                } ?? true
            }
        }
        let moves = flow.hops.map { hop in
            hop.outcomes.reduce(0) { sum, outcome in sum + (outcome.events.map { count($0, of: hop) }.min() ?? 0) }
        }
        for (index, hop) in flow.hops.enumerated() where !hop.isObserver {
            // Nobody waits for a beginning or a deadline.
            let arrivals = hop.isBeginning || hop.deadline != nil ? [] : Self.arrivals(of: hop, in: messages)
            for case .end(let name, let events) in hop.outcomes {
                // An end that emits nothing is seen by what leads to it, if nothing else can come of that.
                let isReached =
                    events.isEmpty
                    ? !arrivals.isEmpty && hop.outcomes.count == 1
                    : events.allSatisfy { count($0, of: hop) > 0 }
                if isReached { end = end ?? name }
            }
            // Where the move need not be seen, nothing can be missed.
            guard !hop.outcomes.contains(where: \.events.isEmpty), !hop.outcomes.isEmpty else { continue }
            // What was undone need not be done any longer.
            let emissions = hop.emissions
            let undoing = flow.hops.indices.filter { !flow.hops[$0].undone.filter(emissions.contains).isEmpty }
            let settled = undoing.map { moves[$0] }.reduce(moves[index]) { max($0, $1) }
            for (round, since) in arrivals.enumerated().dropFirst(settled) {
                expectations.append(
                    Expectation(
                        hop: hop.title, participant: hop.participant, after: hop.inputs.map(\.type),
                        expected: emissions.map(\.type), round: round, since: since,
                        // Exactly what the list of what is due can say, or it would be looked at too early, again and again.
                        due: TimeKey.roundedUp(since + flow.limit(of: hop))))
            }
        }
    }

    /// When all was there that a hop waits for, for each time that it was.
    private static func arrivals(of hop: Hop, in messages: [Conversation.Message]) -> [Timestamp] {
        let times = hop.inputs.map { event in
            let key = FlowEvent.Key(event.type, event.version)
            return messages.filter { FlowEvent.Key($0) == key }.map(\.seenAt).sorted()
        }
        let count = times.map(\.count).min() ?? 0
        return (0..<count).map { round in times.map { $0[round] }.reduce(.earliest) { max($0, $1) } }
    }
}

extension FlowEvent.Key {
    init(_ message: Conversation.Message) {
        self.init(message.type, MessageVersion(major: message.major, minor: 0))
    }
}
