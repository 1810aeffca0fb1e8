// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension Choreography {
    /// Draws one conversation as a Mermaid sequence diagram: what was really said, when, and what is missing.
    ///
    /// - Parameter conversation: The conversation.
    /// - Returns: The text of the diagram.
    public func mermaidSequence(of conversation: Conversation) -> String {
        let lifelines = Lifelines(participants)
        let kinds = Dictionary(
            conversation.messages.map { ($0.id, FlowEvent.Key($0)) }, uniquingKeysWith: { first, _ in first })
        let start = conversation.messages.first?.seenAt
        var lines = ["sequenceDiagram"] + lifelines.declarations
        func add(_ text: String) { lines.append("    " + text) }
        // Something that is missing stands where it was missed.
        var stalls = conversation.stalls.sorted { $0.due < $1.due }[...]
        func addStalls(until time: Timestamp) {
            while let stall = stalls.first, stall.due <= time {
                stalls.removeFirst()
                let expected = stall.expected.map { label($0) }.joined(inWords: "or")
                let end = stall.resolvedAt.map { ", came \(Self.offset($0, from: start))" } ?? ""
                let text = "late: \(expected) by \(Self.offset(stall.due, from: start))\(end)"
                add("Note over \(lifelines.id(stall.participant)): \(Lifelines.text(text))")
            }
        }
        for message in conversation.messages {
            addStalls(until: message.seenAt)
            let key = FlowEvent.Key(message)
            guard let event = events.first(where: { FlowEvent.Key($0.type, $0.version) == key }) else { continue }
            let cause = message.cause.flatMap { kinds[$0] }
            let emitters = emitters(of: event).filter { hop in
                cause.map { cause in hop.inputs.contains { FlowEvent.Key($0.type, $0.version) == cause } } ?? true
            }
            let named = participants.first { "/\($0)" == message.source.rawValue }
            let emitter = named ?? emitters.first?.participant ?? participants[0]
            let isFailure = emitters.contains { hop in
                hop.outcomes.contains { $0.isFailure && $0.events.contains(event) }
            }
            let text = "\(event.label) (\(Self.offset(message.seenAt, from: start)))"
            for reader in readers(of: event).map(\.participant).uniqued() {
                let arrow = isFailure ? "-x" : "->>"
                add("\(lifelines.id(emitter))\(arrow)\(lifelines.id(reader)): \(Lifelines.text(text))")
            }
        }
        addStalls(until: .latest)
        if case .ended(let name) = conversation.state, let first = participants.first, let last = participants.last {
            let over = first == last ? lifelines.id(first) : "\(lifelines.id(first)),\(lifelines.id(last))"
            add("Note over \(over): \(Lifelines.text("ended: \(name)"))")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private func label(_ type: MessageType) -> String {
        events.first { $0.type == type }?.label ?? type.rawValue
    }

    private static func offset(_ time: Timestamp, from start: Timestamp?) -> String {
        let milliseconds = start.map { time.millisecondsSinceEpoch - $0.millisecondsSinceEpoch } ?? 0
        let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
        let fraction = rest == 0 ? "" : "." + String(1000 + rest).dropFirst()
        return "+\(seconds)\(fraction) s"
    }
}
