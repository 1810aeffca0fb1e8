// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What is printed at the end, for a person or for a program.
struct Report {
    let outcome: Outcome
    let isProtected: Bool
    let seconds: Double

    private var check: Check { outcome.check }
    private var figures: Figures { outcome.figures }

    /// One JSON object.
    var json: String {
        let fields: [(String, String)] = [
            ("activities", "\(check.activities)"), ("feeds", "\(Feed.people.count)"), ("entries", "\(check.entries)"),
            ("published", "\(figures.published)"), ("delivered", "\(figures.delivered)"),
            ("repeatsSwallowed", "\(figures.swallowed)"), ("doubles", "\(check.doubles)"), ("gaps", "\(check.gaps)"),
            ("strangers", "\(check.strangers)"), ("deadLetters", "\(check.deadLetters)"),
            ("p50Milliseconds", milliseconds(0.5)), ("p99Milliseconds", milliseconds(0.99)),
            ("seconds", "\((seconds * 1000).rounded() / 1000)"),
        ]
        return "{" + fields.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
    }

    /// Lines for a person.
    var text: String {
        var lines = [
            "Activities  \(check.activities) in three kinds of events, told to \(Feed.people.count) feeds",
            "Messages    \(figures.published) published, \(figures.delivered) delivered; "
                + "\(figures.swallowed) repeats swallowed",
            "Latency     from the activity to its entry p50 \(milliseconds(0.5)) ms, p99 \(milliseconds(0.99)) ms",
            "", verdict,
        ]
        lines += check.complaints.map { "  \($0)" }
        return lines.joined(separator: "\n")
    }

    private var verdict: String {
        guard check.isClean else {
            let found = "\(check.doubles) entries too many, \(check.gaps) missing"
            return "The feeds are WRONG: \(found)"
                + (isProtected ? "." : ", which is what happens without idempotency.")
        }
        return "Every feed has every activity once: \(check.entries) entries, no double, no gap."
    }

    private func milliseconds(_ share: Double) -> String {
        "\((figures.latency(share).inSeconds * 100_000).rounded() / 100)"
    }
}
