// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What the runs of a ``GameDay`` reached: kinds of faults, kinds of events of each service, and what followed what.
///
/// A day that never saw a dead letter has proved nothing about dead letters.
public struct Reach: Sendable, CustomStringConvertible {
    /// How often which kind of fault happened.
    public private(set) var faults: [String: Int] = [:]

    /// How often which kind of event came of which service, such as `payments: message.handled`.
    public private(set) var states: [String: Int] = [:]

    /// How often which kind of event of a service followed which, such as `payments: message.received > message.handled`.
    public private(set) var transitions: [String: Int] = [:]

    /// The kinds of faults that a plan can inject.
    public static let faultKinds = [
        "answer-lost", "blob-missing", "bus-down", "clock-set", "conflict", "crash", "crash-now", "cut-off", "late",
        "lost",
        "overtaken", "parted", "publish-refused", "publish-unanswered", "repeated", "slow", "store-refused",
    ]

    mutating func add(_ outcome: GameDayOutcome) {
        for fault in outcome.faults { faults[fault.kind, default: 0] += 1 }
        var last: [String: String] = [:]
        for entry in outcome.trace.entries {
            guard case .event(let event) = entry.content else { continue }
            let name = String(type(of: event).name.dropFirst("dovetail.".count))
            let service = entry.service ?? "world"
            states["\(service): \(name)", default: 0] += 1
            if let before = last.updateValue(name, forKey: service) {
                transitions["\(service): \(before) > \(name)", default: 0] += 1
            }
        }
    }

    /// The kinds of faults that a plan can inject and that never happened.
    public var missed: [String] { Self.faultKinds.filter { faults[$0] == nil } }

    var summary: String {
        let missed = missed.isEmpty ? "" : " (never: \(missed.joined(separator: ", ")))"
        return
            "Reached \(faults.count) kinds of faults\(missed), \(states.count) states, \(transitions.count) transitions."
    }

    /// The figures, a line each.
    public var description: String {
        var lines = [summary]
        for (title, counts) in [("Faults", faults), ("States", states), ("Transitions", transitions)] {
            lines.append("\(title):")
            for (name, count) in counts.sorted(by: { $0.key < $1.key }) { lines.append("  \(count) \(name)") }
        }
        return lines.joined(separator: "\n")
    }
}
