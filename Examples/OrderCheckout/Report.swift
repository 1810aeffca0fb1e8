// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport

/// What is printed at the end, for a person or for a program.
protocol ReportText {
    /// One JSON object.
    var json: String { get }
    /// Lines for a person.
    var text: String { get }
    /// What is not as it should be.
    var complaints: [String] { get }
}

/// The end of a whole run.
struct Report: ReportText {
    let audit: Audit
    let figures: Bookkeeper.Figures
    let fileName: String
    let orderOfInterest: String?
    let without: Set<Options.Protection>
    let seconds: Double

    var complaints: [String] { audit.complaints }

    var json: String {
        jsonObject(
            audit.ends + [
                ("published", "\(figures.published)"), ("delivered", "\(figures.delivered)"),
                ("duplicatesSuppressed", "\(figures.suppressed)"),
            ] + audit.sums + [("seconds", inMilliseconds(seconds))])
    }

    var text: String {
        var lines =
            audit.linesOfOrders(fileName) + [
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
        return (lines + [""] + audit.verdict(without)).joined(separator: "\n")
    }

    private func percentiles(_ histogram: Histogram) -> String {
        guard histogram.count > 0 else { return "not measured" }
        return [("p50", 0.5), ("p95", 0.95), ("p99", 0.99)]
            .map { "\($0) \(histogram.percentile($1).short)" }.joined(separator: ", ")
    }
}

/// The books of an earlier run, read from three databases.
struct AuditReport: ReportText {
    let audit: Audit
    let fileName: String
    let without: Set<Options.Protection>

    var complaints: [String] { audit.complaints }
    var json: String { jsonObject(audit.ends + audit.sums) }
    var text: String {
        (audit.linesOfOrders(fileName) + [
            "Compensated  \(audit.refunded.grouped) charges refunded, \(audit.deadLetters.grouped) dead letters", "",
        ] + audit.verdict(without)).joined(separator: "\n")
    }
}

/// The end of a run in this process, which sees the rows of its own services only.
struct PartReport: ReportText {
    private let books: Books
    private let accepted: Int
    private let fileName: String
    private let seconds: Double
    private let confirmed: Int

    init(_ ending: OrderRun.Ending, fileName: String, seconds: Double) {
        books = ending.books
        accepted = ending.outcome.accepted
        self.fileName = fileName
        self.seconds = seconds
        confirmed = books.orders.count { $0.state == .confirmed }
    }

    private var cancelled: Int { books.orders.count { $0.state == .cancelled } }
    private var open: Int { books.orders.count { books.endings[$0.id].isEmpty } }

    var complaints: [String] { open == 0 ? [] : ["\(open.grouped) orders never ended."] }

    var json: String {
        jsonObject([
            ("orders", "\(accepted)"), ("confirmed", "\(confirmed)"), ("cancelled", "\(cancelled)"),
            ("rejectedLines", "\(books.rejectedLines)"), ("deadLetters", "\(books.deadLetters)"),
            ("seconds", inMilliseconds(seconds)),
        ])
    }

    var text: String {
        let lines = [
            "Orders       \(accepted.grouped) taken in from \(fileName), \(lineCount(books.rejectedLines)) not",
            "Ended        \(confirmed.grouped) confirmed, \(cancelled.grouped) cancelled",
        ]
        return (lines + complaints + ["Whether the books of all services balance says --audit."])
            .joined(separator: "\n")
    }
}

extension Audit {
    fileprivate var ends: [(String, String)] {
        [
            ("orders", "\(orders)"), ("confirmed", "\(confirmed)"), ("cancelled", "\(cancelled)"),
            ("rejectedLines", "\(rejectedLines)"),
        ]
    }

    fileprivate var sums: [(String, String)] {
        [
            ("charged", "\(charged)"), ("refunded", "\(refunded)"), ("chargedCents", "\(chargedCents)"),
            ("refundedCents", "\(refundedCents)"), ("deadLetters", "\(deadLetters)"),
        ]
    }

    fileprivate func linesOfOrders(_ fileName: String) -> [String] {
        [
            "Orders       \(orders.grouped) taken in from \(fileName), \(lineCount(rejectedLines)) not",
            "Ended        \(confirmed.grouped) confirmed, \(cancelled.grouped) cancelled",
        ]
    }

    /// Whether the books balance, and what is wrong with them.
    fileprivate func verdict(_ without: Set<Options.Protection>) -> [String] {
        guard !isClean else {
            return [
                "The books balance: each order ended once, and \(chargedCents.money) charged minus "
                    + "\(refundedCents.money) refunded is the \(confirmedCents.money) that the confirmed orders are worth."
            ]
        }
        let removed = without.map(\.rawValue).sorted().joined(separator: " and ")
        let more = wrongOrders - Self.mostComplaints
        return [
            "The books DO NOT balance" + (removed.isEmpty ? "." : ", which is what happens without \(removed).")
        ] + complaints.map { "  \($0)" } + (more > 0 ? ["  … and \(more.grouped) more."] : [])
    }
}

private func lineCount(_ count: Int) -> String {
    count == 1 ? "1 line" : "\(count.grouped) lines"
}

private func jsonObject(_ fields: [(String, String)]) -> String {
    "{" + fields.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
}

private func inMilliseconds(_ seconds: Double) -> String { "\((seconds * 1000).rounded() / 1000)" }

extension BinaryInteger {
    /// A number of cents as an amount of money.
    var money: String {
        let (whole, cents) = magnitude.quotientAndRemainder(dividingBy: 100)
        return (self < 0 ? "-" : "") + whole.grouped + (cents < 10 ? ".0" : ".") + String(cents)
    }
}
