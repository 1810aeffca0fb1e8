// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Tells what happened in a run to a person: who sent what, what was dropped, where it crashed.
struct Story {
    /// The most lines that tell what happened; with the others there are less than thirty.
    private static let mostLines = 20
    private static let longestLine = 160

    let day: String
    let error: SimulationError
    let faults: [Fault]
    let seed: UInt64
    let runs: Int
    let replay: Replay
    let entries: [Trace.Entry]

    var text: String {
        var names = ShortNames()
        var lines = ["The day '\(day)' failed with seed \(seed); \(faultCount) left after \(runs) runs:"]
        lines += happenings(&names)
        var what = "\(error.code): \(error.message)"
        if !error.inFlight.isEmpty { what += " In flight: \(error.inFlight.prefix(3).joined(separator: "; "))." }
        if let cause = error.cause { what += " Cause: \(cause)" }
        lines.append("So: " + Self.oneLine(names.shorten(what), most: 400))
        lines.append("Replay: \(Replay.variable)='\(replay)' SWIFT_DETERMINISTIC_HASHING=1")
        return lines.joined(separator: "\n")
    }

    private var faultCount: String {
        switch faults.count {
        case 0: "no fault is"
        case 1: "one fault is"
        default: "\(faults.count) faults are"
        }
    }

    private func happenings(_ names: inout ShortNames) -> [String] {
        var told: [(rank: Int, line: String)] = []
        for entry in entries {
            guard let (rank, text) = tell(entry, &names) else { continue }
            let who = entry.service ?? "world"
            let line = Self.oneLine("  +\(Trace.seconds(entry.instant)) \(who): \(text)", most: Self.longestLine)
            // The same thing over and over is told once.
            if told.last?.line == line { continue }
            told.append((rank, line))
        }
        // What went wrong comes first, then what the failure is about, then what came last before it.
        let subjects = names.names(in: error.message)
        let order = told.indices.sorted { left, right in
            let (leftRank, rightRank) = (rank(told[left], subjects), rank(told[right], subjects))
            return leftRank == rightRank ? left > right : leftRank < rightRank
        }
        let kept = order.prefix(Self.mostLines).sorted()
        var lines: [String] = []
        var last = -1
        for place in kept {
            if place > last + 1, told[last + 1..<place].contains(where: { $0.rank < 2 }), lines.last != Self.gap {
                lines.append(Self.gap)
            }
            lines.append(told[place].line)
            last = place
        }
        // Each gap costs a line; without them it is short enough in any case.
        return lines.count > Self.mostLines + 4 ? kept.map { told[$0].line } : lines
    }

    private static let gap = "  …"

    private func rank(_ told: (rank: Int, line: String), _ subjects: [String]) -> Int {
        if told.rank == 0 { return 0 }
        return subjects.contains { told.line.contains(" \($0) ") } ? 1 : told.rank + 1
    }

    /// - Returns: What happened, and how much it matters: 0 for what must be told; `nil` for what is never told.
    private func tell(_ entry: Trace.Entry, _ names: inout ShortNames) -> (Int, String)? {
        switch entry.content {
        case .fault(let fault): return (0, Self.tell(fault))
        case .note(let text): return (0, text)
        case .event(let event): return tell(event, &names)
        }
    }

    private func tell(_ event: any InstrumentEvent, _ names: inout ShortNames) -> (Int, String)? {
        switch event {
        case let event as ServiceStarted:
            return event.incarnation == 1 ? nil : (0, "\(event.service) starts again (\(event.incarnation))")
        case let event as ServiceCrashed:
            return (0, "\(event.service) CRASHES" + (event.effect.map { " before '\($0)'" } ?? ""))
        case let event as MessagePublished: return (1, "publishes \(names.name(event.attributes))")
        case let event as MessagePublishFailed:
            return (1, "fails to publish \(names.name(event.attributes)): \(event.error.code)")
        case let event as MessageReceived:
            return (2, "is given \(names.name(event.attributes)), attempt \(event.attempt)")
        case let event as MessageHandled: return (1, "has handled \(names.name(event.attributes))")
        case let event as MessageDeduplicated: return (1, "drops the repeat of \(names.name(event.attributes))")
        case let event as MessageSkipped: return (1, "skips \(names.name(event.attributes)): \(event.reason)")
        case let event as MessageRetried:
            return (2, "tries \(names.name(event.attributes)) again: \(event.error)")
        case let event as MessageDelayed:
            return (1, "puts \(names.name(event.attributes)) off by \(event.delay.inSeconds) s: \(event.error)")
        case let event as MessageParked: return (1, "has \(names.name(event.attributes)) wait behind it")
        case let event as MessageDeadLettered:
            let name = event.letter.envelope.map { names.name($0.attributes) } ?? "bytes"
            return (0, "makes \(name) a dead letter: \(event.letter.reason)")
        case is MessageRelayed, is OutboxClaimed: return nil
        default: break
        }
        var text = Swift.type(of: event).name.dropFirst("dovetail.".count).split(whereSeparator: { ".".contains($0) })
            .joined(separator: " ")
        func add(_ name: StaticString, _ value: String) {
            guard !value.isEmpty else { return }
            let short = "\(name)".split(separator: ".").last.map(String.init) ?? "\(name)"
            text += " \(short)=\(names.shorten(value))"
        }
        event.visitDimensions(add)
        event.visitDetails(add)
        return (text.contains("failed") ? 2 : 1, text)
    }

    private static func tell(_ fault: Fault) -> String {
        let what =
            switch fault.kind {
            case "publish-refused": "the bus refuses what \(fault.place) publishes"
            case "publish-unanswered": "the bus stores what \(fault.place) publishes, and its answer is lost"
            case "lost": "a delivery to \(fault.place) is LOST"
            case "late": "a delivery to \(fault.place) is late"
            case "repeated": "a delivery to \(fault.place) is REPEATED"
            case "overtaken": "a delivery to \(fault.place) is overtaken"
            case "store-refused": "the database refuses \(fault.place)"
            case "answer-lost": "it is done, and the ANSWER IS LOST of \(fault.place)"
            case "conflict": "a commit of \(fault.place) is refused for a conflict"
            case "slow": "the database is slow at \(fault.place)"
            case "blob-missing": "a blob of '\(fault.place)' is not found"
            case "crash", "crash-now", "clock-set", "bus-down", "cut-off", "parted", "script": fault.kind
            default: "\(fault.kind) hits \(fault.place)"
            }
        return "!! \(what) [\(fault)]"
    }

    private static func oneLine(_ text: String, most: Int) -> String {
        let line = text.split(whereSeparator: \.isNewline).joined(separator: " ")
        return line.count > most ? String(line.prefix(most - 1)) + "…" : line
    }
}

/// Gives messages names that a person can keep apart, in the order in which they come up.
private struct ShortNames {
    private var names: [String: String] = [:]

    mutating func name(_ attributes: EnvelopeAttributes) -> String {
        let type = attributes.type.rawValue.split(separator: ".").suffix(2).joined(separator: ".")
        let key = attributes.partitionKey.map { " of '\($0)'" } ?? ""
        return "\(short(attributes.id.rawValue)) (\(type)\(key))"
    }

    private mutating func short(_ id: String) -> String {
        if let name = names[id] { return name }
        let name = "m\(names.count + 1)"
        names[id] = name
        return name
    }

    /// The short names of the messages that a text names.
    func names(in text: String) -> [String] {
        names.filter { $0.key.count >= 36 && text.contains($0.key) }.map(\.value)
    }

    /// Puts short names in the place of identifiers that came up before.
    func shorten(_ text: String) -> String {
        guard text.count >= 36 else { return names[text] ?? text }
        var text = text
        for (id, name) in names where id.count >= 36 && text.contains(id) {
            text = text.split(separator: id, omittingEmptySubsequences: false).joined(separator: name)
        }
        return text
    }
}
