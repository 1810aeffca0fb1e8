// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Synchronization

/// Counts what happens on the bus, for the report.
///
/// The audit does not look at these figures.
final class Bookkeeper: Instrument {
    struct Figures: Sendable {
        var published = 0
        var publishFailures = 0
        var delivered = 0
        var handled = 0
        var suppressed = 0
        var retried = 0
        var delayed = 0
        var relayLag = Histogram()
        var orderTime = Histogram()
        var ended = 0
        var lost = 0
        var journeys: [PartitionKey: Journey] = [:]
    }

    private let figures = Mutex(Figures())

    var current: Figures { figures.withLock { $0 } }

    /// Follows the messages of one order.
    func follow(_ orderID: String) {
        figures.withLock { $0.journeys[PartitionKey(orderID)] = Journey() }
    }

    func orderEnded(after elapsed: Duration) {
        figures.withLock {
            $0.ended += 1
            $0.orderTime.add(elapsed)
        }
    }

    func eventLost() {
        figures.withLock { $0.lost += 1 }
    }

    func record<E: InstrumentEvent>(_ event: E) {
        figures.withLock { figures in
            switch event {
            case let event as MessagePublished:
                figures.published += 1
                figures.note(event.attributes) { $0.published(event.attributes) }
            case let event as MessageRelayed:
                figures.relayLag.add(event.lag)
                figures.note(event.attributes) { $0.relayed(event.attributes, lag: event.lag) }
            case let event as MessageReceived:
                figures.delivered += 1
                figures.note(event.attributes) { $0.received(event.attributes) }
            case let event as MessageHandled:
                figures.handled += 1
                figures.note(event.attributes) { $0.handled(event.attributes, by: event.consumer) }
            case is MessagePublishFailed: figures.publishFailures += 1
            case is MessageDeduplicated, is RequestReplayed: figures.suppressed += 1
            case is MessageRetried: figures.retried += 1
            case is MessageDelayed: figures.delayed += 1
            default: break
            }
        }
    }
}

extension Bookkeeper.Figures {
    fileprivate mutating func note(_ attributes: EnvelopeAttributes, _ change: (inout Journey) -> Void) {
        guard !journeys.isEmpty, let key = attributes.partitionKey, journeys[key] != nil else { return }
        change(&journeys[key, default: Journey()])
    }
}

/// The messages of one order, by what caused what.
struct Journey: Sendable {
    private struct Hop: Sendable {
        var type: MessageType
        var source: MessageSource
        var causation: MessageID?
        var publications = 0
        var deliveries = 0
        var handlers: Set<String> = []
        var lag: Duration?
    }

    private var hops: [MessageID: Hop] = [:]
    private var order: [MessageID] = []

    var isEmpty: Bool { hops.isEmpty }

    func has(_ type: MessageType) -> Bool {
        hops.values.contains { $0.type == type }
    }

    mutating func published(_ attributes: EnvelopeAttributes) {
        note(attributes) { $0.publications += 1 }
    }

    mutating func relayed(_ attributes: EnvelopeAttributes, lag: Duration) {
        note(attributes) { $0.lag = $0.lag ?? lag }
    }

    mutating func received(_ attributes: EnvelopeAttributes) {
        note(attributes) { $0.deliveries += 1 }
    }

    mutating func handled(_ attributes: EnvelopeAttributes, by consumer: String) {
        note(attributes) { $0.handlers.insert(consumer) }
    }

    private mutating func note(_ attributes: EnvelopeAttributes, _ change: (inout Hop) -> Void) {
        if hops[attributes.id] == nil { order.append(attributes.id) }
        change(
            &hops[
                attributes.id,
                default: Hop(
                    type: attributes.type, source: attributes.source, causation: attributes.causationID
                )
            ]
        )
    }

    /// The messages as a tree, each under the one that caused it.
    func lines() -> [String] {
        var lines: [String] = []
        func add(_ id: MessageID, indent: String, branch: String, below: String) {
            guard let hop = hops[id] else { return }
            let name = hop.type.rawValue.split(separator: ".").dropFirst().map {
                $0.prefix(1).uppercased() + $0.dropFirst()
            }.joined()
            var notes = ["from \(hop.source.rawValue.dropFirst())"]
            if !hop.handlers.isEmpty { notes.append("handled by \(hop.handlers.sorted().joined(separator: " and "))") }
            if hop.deliveries > hop.handlers.count { notes.append("delivered \(hop.deliveries) times") }
            if let lag = hop.lag { notes.append("published \(lag.short) after its commit") }
            lines.append("\(indent)\(branch)\(name)  \(notes.joined(separator: ", "))")
            let children = order.filter { hops[$0]?.causation == id }
            for (index, child) in children.enumerated() {
                let isLast = index == children.count - 1
                add(
                    child, indent: indent + below, branch: isLast ? "└─ " : "├─ ", below: isLast ? "   " : "│  "
                )
            }
        }
        for id in order where hops[id]?.causation.map({ hops[$0] == nil }) ?? true {
            add(id, indent: "  ", branch: "", below: "")
        }
        return lines
    }
}

extension Duration {
    /// The span in the unit that suits it, for people.
    var short: String {
        let nanoseconds = Double(self.nanoseconds)
        func text(_ value: Double, _ unit: String) -> String {
            let rounded = (value * (value < 10 ? 10 : 1)).rounded() / (value < 10 ? 10 : 1)
            return (rounded == rounded.rounded() ? String(Int(rounded)) : String(rounded)) + " " + unit
        }
        switch nanoseconds {
        case ..<1_000: return text(nanoseconds, "ns")
        case ..<1_000_000: return text(nanoseconds / 1_000, "µs")
        case ..<1_000_000_000: return text(nanoseconds / 1_000_000, "ms")
        default: return text(nanoseconds / 1_000_000_000, "s")
        }
    }
}
