// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport

/// What is printed at the end, for a person or for a program.
struct Report {
    let sale: Sale.Result
    let calm: Sale.Result
    let options: Options
    let verdict: Verdict

    init(sale: Sale.Result, calm: Sale.Result, options: Options) {
        self.sale = sale
        self.calm = calm
        self.options = options
        verdict = Verdict(sale, calm)
    }

    private var removed: String { options.without.map(\.rawValue).sorted().joined(separator: " and ") }

    // MARK: For a person

    var text: String {
        let books = sale.books
        var lines = [
            "A flash sale, seed \(options.seed)" + (removed.isEmpty ? "" : ", without \(removed)"),
            "",
            "        the 199 others                    merchant \(Plan.viral)",
            "time    orders    paid      p99          orders    paid   kept for later",
        ]
        lines += timeline
        lines += [
            "", "Dead letters, to be paid later:",
        ]
        for tier in verdict.tiers {
            lines.append(
                "  \(tier.tier.rawValue.padded(8))\(tier.placed.grouped.padded(-8)) orders, "
                    + "\(tier.paid.grouped.padded(-8)) paid, \(tier.kept.grouped.padded(-8)) kept")
        }
        lines += [
            "",
            "Payments sent to a processor that did not answer: \(books.unanswered.grouped).",
            "",
            check(
                verdict.unavailable.isEmpty,
                "Every other merchant had 99.9 % of its orders paid; the least was "
                    + "\(verdict.leastAvailability.percent).",
                "\(verdict.unavailable.count) other merchants had less than 99.9 % of their orders paid: "
                    + verdict.unavailable.prefix(3).map { "\($0.merchant) had \($0.availability.percent)" }
                    .joined(separator: ", ") + "."),
            check(
                verdict.slow.isEmpty,
                "No other merchant's p99 was more than 1.2 times that of a day without the crowd; the most was "
                    + "\(verdict.greatestSlowdown.twoDigits) times.",
                "\(verdict.slow.count) other merchants were slower (p99) than 1.2 times a day without the crowd: "
                    + verdict.slow.prefix(3).map { "\($0.merchant) took \($0.p99.ms) instead of \($0.calm.ms)" }
                    .joined(separator: ", ") + "."),
            check(
                verdict.isAccountedFor, "Each order was paid, or is kept to be paid later.",
                "Orders are missing: paid and kept are not what was placed."),
        ]
        if !verdict.isFine, !removed.isEmpty { lines += ["", "That is what the \(removed) is for."] }
        return lines.joined(separator: "\n")
    }

    private func check(_ isFine: Bool, _ yes: String, _ no: String) -> String {
        isFine ? "  ok    \(yes)" : "  FAIL  \(no)"
    }

    /// A line for each slice of time, and what happened between them.
    private var timeline: [String] {
        var incidents = [
            Books.Incident(at: Plan.crowd.lowerBound, text: "merchant \(Plan.viral) goes viral"),
            Books.Incident(at: Plan.crowd.upperBound, text: "the crowd is gone"),
        ]
        for (name, outage) in zip(Plan.processors, Plan.outages) {
            incidents.append(Books.Incident(at: outage.lowerBound, text: "processor '\(name)' stops answering"))
            incidents.append(Books.Incident(at: outage.upperBound, text: "processor '\(name)' answers again"))
        }
        incidents += sale.books.incidents
        incidents.sort { $0.at < $1.at }
        var lines: [String] = []
        for slice in 0..<Int(Plan.duration.components.seconds) / Books.slice {
            let others = sale.books.othersBySlice[slice] ?? Books.Figures()
            let viral = sale.books.viralBySlice[slice] ?? Books.Figures()
            lines.append(
                "\(Duration.seconds(slice * Books.slice).clock)  \(others.placed.grouped.padded(-8))"
                    + "\(others.availability.percent.padded(-9))\(others.p99.ms.padded(-9)) \(others.p99.bar.padded(6))"
                    + "\(viral.placed.grouped.padded(-7))\(viral.paid.grouped.padded(-8))"
                    + "\((viral.placed - viral.paid).grouped.padded(-9))")
            let end = Duration.seconds((slice + 1) * Books.slice)
            while let next = incidents.first, next.at < end {
                lines.append("  \(next.at.clock)   · \(next.text)")
                incidents.removeFirst()
            }
        }
        return lines
    }

    // MARK: For a program

    var json: String {
        let books = sale.books
        let tiers = verdict.tiers.map {
            "\"\($0.tier.rawValue)\": {\"placed\": \($0.placed), \"paid\": \($0.paid), \"kept\": \($0.kept)}"
        }
        let fields: [(String, String)] = [
            ("seed", "\(options.seed)"),
            ("without", "[" + options.without.map { "\"\($0.rawValue)\"" }.sorted().joined(separator: ", ") + "]"),
            ("merchants", "\(Plan.merchants.count)"),
            ("placed", "\(verdict.tiers.reduce(0) { $0 + $1.placed })"),
            ("paid", "\(verdict.tiers.reduce(0) { $0 + $1.paid })"),
            ("kept", "\(verdict.tiers.reduce(0) { $0 + $1.kept })"),
            ("crowdPlaced", "\(books.crowd.placed)"), ("crowdPaid", "\(books.crowd.paid)"),
            ("leastAvailability", "\(verdict.leastAvailability.fourDigits)"),
            ("greatestSlowdown", "\(verdict.greatestSlowdown.fourDigits)"),
            ("unavailableMerchants", "\(verdict.unavailable.count)"), ("slowMerchants", "\(verdict.slow.count)"),
            ("unanswered", "\(books.unanswered)"),
            ("breakerTransitions", "\(books.incidents.count)"),
            ("deadLetters", "{" + tiers.joined(separator: ", ") + "}"),
            ("accountedFor", "\(verdict.isAccountedFor)"), ("passed", "\(verdict.isFine)"),
        ]
        return "{" + fields.map { "\"\($0)\": \($1)" }.joined(separator: ", ") + "}"
    }
}
