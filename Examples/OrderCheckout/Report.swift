// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport

/// What is printed at the end, for a person or for a program.
struct Report {
    let audit: Audit
    let figures: Bookkeeper.Figures
    let fileName: String
    let orderOfInterest: String?
    let without: Set<Options.Protection>
    let seconds: Double

    /// One JSON object.
    var json: String {
        let fields: [(String, String)] = [
            ("orders", "\(audit.orders)"), ("confirmed", "\(audit.confirmed)"), ("cancelled", "\(audit.cancelled)"),
            ("rejectedLines", "\(audit.rejectedLines)"), ("published", "\(figures.published)"),
            ("delivered", "\(figures.delivered)"), ("duplicatesSuppressed", "\(figures.suppressed)"),
            ("charged", "\(audit.charged)"), ("refunded", "\(audit.refunded)"),
            ("chargedCents", "\(audit.chargedCents)"), ("refundedCents", "\(audit.refundedCents)"),
            ("deadLetters", "\(audit.deadLetters)"), ("seconds", "\((seconds * 1000).rounded() / 1000)"),
        ]
        return "{" + fields.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
    }

    /// Lines for a person.
    var text: String {
        var lines = [
            "Orders       \(audit.orders.grouped) taken in from \(fileName), \(lineCount(audit.rejectedLines)) not readable",
            "Ended        \(audit.confirmed.grouped) confirmed, \(audit.cancelled.grouped) cancelled",
            "Messages     \(figures.published.grouped) published, \(figures.delivered.grouped) delivered, of these "
                + "\(max(0, figures.delivered - figures.published).grouped) repeats; "
                + "\(figures.suppressed.grouped) suppressed as seen before",
            "Trouble      \(figures.publishFailures.grouped) publishes answered as failed, "
                + "\((figures.retried + figures.delayed).grouped) handlers tried again, "
                + "\(audit.deadLetters.grouped) dead letters",
            "Compensated  \(audit.refunded.grouped) charges refunded",
            "Lag          from commit to bus \(percentiles(figures.relayLag)); "
                + "from order to end \(percentiles(figures.orderTime))",
        ]
        if let id = orderOfInterest, let journey = figures.journeys[PartitionKey(id)], !journey.isEmpty {
            lines += ["", "The journey of \(id), each message under the one that caused it:"] + journey.lines()
        }
        lines += ["", verdict]
        lines += audit.complaints.map { "  \($0)" }
        if audit.wrongOrders > Audit.mostComplaints {
            lines.append("  … and \((audit.wrongOrders - Audit.mostComplaints).grouped) more.")
        }
        return lines.joined(separator: "\n")
    }

    private var verdict: String {
        guard audit.isClean else {
            let removed = without.map(\.rawValue).sorted().joined(separator: " and ")
            return "The books DO NOT balance"
                + (removed.isEmpty ? "." : ", which is what happens without \(removed).")
        }
        return "The books balance: each order ended once, and \(audit.chargedCents.money) charged minus "
            + "\(audit.refundedCents.money) refunded is the \(audit.confirmedCents.money) that the confirmed orders are worth."
    }

    private func lineCount(_ count: Int) -> String {
        count == 1 ? "1 line" : "\(count.grouped) lines"
    }

    private func percentiles(_ histogram: Histogram) -> String {
        guard histogram.count > 0 else { return "not measured" }
        return [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)]
            .map { "\($0) \(histogram.percentile($1).short)" }.joined(separator: ", ")
    }
}

extension BinaryInteger {
    /// A number of cents as an amount of money.
    var money: String {
        let (whole, cents) = magnitude.quotientAndRemainder(dividingBy: 100)
        return (self < 0 ? "-" : "") + whole.grouped + (cents < 10 ? ".0" : ".") + String(cents)
    }
}
