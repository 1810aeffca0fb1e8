// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// What became of a ``Choreography`` in a run, hop by hop.
public struct FlowComparison: Sendable {
    /// The messages that came from where the flow does not say so; a problem for each kind.
    public let undeclared: [ChoreographyProblem]

    /// What the flow declares and the run did not show, in words, such as `payments on OrderPlaced: PaymentFailed`.
    public let unseen: [String]
}

extension Choreography {
    /// Compares what services really published with what the flow declares, however they are written.
    ///
    /// Each message names the one that caused it, so that it is known who reacted to what. Use it at the end of a test of all services
    /// together:
    ///
    /// ```swift
    /// let comparison = checkout.compare(with: world.published())
    /// #expect(comparison.undeclared.isEmpty && comparison.unseen.isEmpty)
    /// ```
    ///
    /// Messages of types that the flow does not know count only if a message of the flow caused them.
    ///
    /// - Parameter envelopes: The messages.
    /// - Returns: What was not declared, and what was not seen.
    public func compare(with envelopes: [Envelope<Bytes>]) -> FlowComparison {
        let known = Dictionary(uniqueKeysWithValues: events.map { (FlowEvent.Key($0.type, $0.version), $0) })
        var triggers: [MessageID: ReactionTrigger] = [:]
        for envelope in envelopes {
            if let deadline = ParticipantDeadline.name(in: envelope) {
                triggers[envelope.id] = .deadline(deadline)
            } else if let event = known[FlowEvent.Key(envelope.type, envelope.version)] {
                triggers[envelope.id] = .event(event)
            }
        }
        var seen: Set<String> = []
        var undeclared: [String: ChoreographyProblem] = [:]
        for envelope in envelopes where envelope.type != ParticipantDeadline.type {
            let cause = envelope.causationID.flatMap { triggers[$0] }
            let event = known[FlowEvent.Key(envelope.type, envelope.version)]
            guard event != nil || cause != nil else { continue }
            // A source named like a participant is that participant.
            let emitter = participants.first { "/\($0)" == envelope.source.rawValue }
            let sources = hops.filter { hop in
                hop.follows(cause, isKnown: envelope.causationID != nil)
                    && emitter.map { $0 == hop.participant } ?? true
                    && event.map { hop.emissions.contains($0) } ?? false
            }
            for hop in sources { seen.insert(Self.line(hop, event)) }
            guard sources.isEmpty else { continue }
            let label = event?.label ?? envelope.type.rawValue
            let after = cause.map { "in reaction to \($0)" } ?? "at the beginning"
            let source = envelope.source.rawValue
            undeclared["\(source) \(label) \(after)"] = ChoreographyProblem(
                .undeclaredHop,
                "'\(source)' emitted \(label) \(after), which the flow '\(name)' does not declare. Declare it, or emit it no "
                    + "longer.",
                participants: [source], events: event.map { [$0] } ?? [])
        }
        let declared = hops.flatMap { hop in hop.emissions.map { Self.line(hop, $0) } }
        return FlowComparison(
            undeclared: undeclared.sorted { $0.key < $1.key }.map(\.value),
            unseen: declared.uniqued().filter { !seen.contains($0) })
    }

    private static func line(_ hop: Hop, _ event: FlowEvent?) -> String {
        "\(hop.title): \(event?.label ?? "nothing")"
    }
}

extension FlowEvent {
    struct Key: Hashable {
        let type: MessageType
        let major: Int

        init(_ type: MessageType, _ version: MessageVersion) {
            self.type = type
            major = version.major
        }
    }
}

extension Hop {
    /// Whether the hop may be what a message comes from.
    ///
    /// - Parameters:
    ///   - cause: What the message names as its cause, if that was seen.
    ///   - isKnown: Whether it names one; if it does and that was not seen, it may come from anywhere.
    /// - Returns: Whether it may.
    fileprivate func follows(_ cause: ReactionTrigger?, isKnown: Bool) -> Bool {
        switch cause {
        case .event(let event): deadline == nil && inputs.contains(event)
        case .deadline(let name): deadline == name
        case nil: isBeginning || isKnown
        }
    }
}
