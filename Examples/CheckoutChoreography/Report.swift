// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What is printed at the end, for a person or for a program.
struct Report {
    let outcome: Outcome
    let flow: Choreography
    let options: Options

    private var audit: Audit { outcome.audit }
    private var figures: Figures { outcome.figures }

    /// One JSON object.
    var json: String {
        let fields: [(String, String)] = [
            ("orders", "\(options.orders)"), ("confirmed", "\(audit.confirmed)"), ("cancelled", "\(audit.cancelled)"),
            ("open", "\(audit.open)"), ("chargedCents", "\(audit.chargedCents)"),
            ("refundedCents", "\(audit.refundedCents)"), ("wrongOrders", "\(audit.wrongOrders)"),
            ("deadLetters", "\(audit.deadLetters)"), ("published", "\(figures.published.count)"),
            ("delivered", "\(figures.delivered)"), ("repeatsSwallowed", "\(figures.swallowed)"),
            ("stallsRaised", "\(figures.raised)"), ("stallsResolved", "\(figures.resolved)"),
            ("flowProblems", "\(flow.problems().count)"), ("undeclaredHops", "\(audit.undeclared)"),
            ("balanced", "\(audit.isClean)"),
        ]
        return "{" + fields.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
    }

    /// Lines for a person.
    var text: String {
        var lines = flowLines
        lines += [
            "",
            "Orders    \(options.orders) placed: \(audit.confirmed) confirmed, \(audit.cancelled) cancelled, \(audit.open) open",
            "Money     \(audit.chargedCents) cents charged, \(audit.refundedCents) given back",
            "Messages  \(figures.published.count) published, \(figures.delivered) delivered; \(figures.swallowed) repeats swallowed",
            "Watch     \(figures.raised) stalls raised, \(figures.resolved) resolved",
        ]
        if let alert = figures.firstAlert { lines += ["          the first: \(alert.message)"] }
        if let example = outcome.example {
            lines += ["", "\(example.id), as the watch saw it:", "", flow.mermaidSequence(of: example)]
        } else {
            lines.append("")
        }
        if audit.isClean {
            lines.append("The books balance, and every message came from where the flow says.")
        } else {
            lines.append(
                "The books do NOT balance: \(audit.wrongOrders) orders are wrong"
                    + (options.without.map { ", which is what happens without \($0.rawValue)." } ?? "."))
            lines += audit.complaints.map { "  \($0)" }
        }
        return lines.joined(separator: "\n")
    }

    private var flowLines: [String] {
        let problems = flow.problems()
        return ["The flow '\(flow.name)' is \(problems.isEmpty ? "sound" : "NOT sound"):"]
            + flow.hops.map { "  \($0)" } + problems.map { "  - \($0.message)" }
    }
}
