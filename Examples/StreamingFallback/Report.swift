// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport

/// How viewers were served, for a person or a program.
struct Report {
    private struct Check {
        let isMet: Bool
        let text: String
        let hint: String
    }

    private struct Incident {
        let trouble: Plan.Trouble
        let pages: Ledger.Pages
        let openedAfter: Duration?
        let backAfter: Duration
    }

    private let pages: Ledger.State
    private let load: RecommendationService.Load
    private let options: Options
    private let incidents: [Incident]
    private let checks: [Check]

    init(_ month: Month, _ options: Options) {
        let pages = month.ledger.value
        let load = month.service.load
        self.pages = pages
        self.load = load
        self.options = options
        incidents = month.plan.troubles.map { trouble in
            Incident(
                trouble: trouble, pages: pages.troubled[trouble.day] ?? Ledger.Pages(),
                openedAfter: pages.opened[trouble.day].map { $0 - trouble.span.lowerBound },
                backAfter: max(.zero, (pages.lastPopular[trouble.day] ?? .zero) - trouble.span.upperBound))
        }
        let least = incidents.map(\.pages.promptShare).min() ?? 1
        let latest = incidents.map(\.backAfter).max() ?? .zero
        checks = [
            Check(
                isMet: pages.all.notShown == 0,
                text:
                    "every page was shown (\(pages.all.shown.grouped) of \((pages.all.shown + pages.all.notShown).grouped))",
                hint: "Popular titles are always there."),
            Check(
                isMet: least >= 0.9,
                text: "nine of ten pages within half a second also in trouble (at least \(least.percent))",
                hint: "Without a breaker every viewer waits for a service that does not answer."),
            Check(
                isMet: latest <= .seconds(120),
                text: "recommendations back within two minutes (at most \(latest.components.seconds) s)",
                hint: "A breaker must let probes through to notice."),
            Check(
                isMet: load.mostAtOnce <= Plan.most,
                text: "at most \(Plan.most) calls at once (\(load.mostAtOnce))",
                hint: "Without a bulkhead all that come before the breaker opens wait at the same time."),
        ]
    }

    var isFine: Bool { checks.allSatisfy(\.isMet) }

    var text: String {
        var lines = [
            "A month of home pages (seed \(options.seed)"
                + options.without.map(\.rawValue).sorted().map { ", without \($0)" }.joined() + ")", "",
            "Evenings: █ all pages at once … ▁ none; below, days with trouble", "",
        ]
        let days = 1...Plan.days
        lines.append(
            "  " + days.map { bar(pages.evenings[$0]?.promptShare ?? 1) }.joined() + "  shown within half a second")
        lines.append(
            "  " + days.map { bar(pages.evenings[$0]?.personalShare ?? 1) }.joined() + "  with recommendations")
        let troubles = Dictionary(incidents.map { ($0.trouble.day, $0.trouble.kind) }) { first, _ in first }
        lines.append(
            "  " + days.map { troubles[$0].map { $0 == .slow ? "s" : "f" } ?? "·" }.joined() + "  s slow, f failing")
        lines += ["", "  day  trouble   begins  lasts   breaker opens  pages  prompt  slowest  back after"]
        for incident in incidents {
            let trouble = incident.trouble
            let length = trouble.span.upperBound - trouble.span.lowerBound
            lines.append(
                "  " + "\(trouble.day)".padded(-3) + "  " + trouble.kind.rawValue.padded(8) + "  "
                    + Plan.clock(trouble.span.lowerBound).timeOfDay + "   "
                    + "\(length.components.seconds) s".padded(-6)
                    + (incident.openedAfter.map { "after \($0.components.seconds) s" } ?? "never").padded(-14)
                    + "\(incident.pages.shown)".padded(-7) + incident.pages.promptShare.percent.padded(-8)
                    + "\(incident.pages.longest.nanoseconds / 1_000_000) ms".padded(-9)
                    + "\(incident.backAfter.components.seconds) s".padded(-12))
        }
        lines += [
            "",
            "  \(pages.rejected.grouped) calls were rejected at once; the service was called \(load.calls.grouped) times, "
                + "\(load.callsInTrouble.grouped) of them in trouble.", "",
        ]
        for check in checks {
            lines.append("  \(check.isMet ? "ok    " : "FAIL  ")\(check.text)")
            if !check.isMet { lines.append("        \(check.hint)") }
        }
        return lines.joined(separator: "\n")
    }

    var json: String {
        let least = incidents.map(\.pages.promptShare).min() ?? 1
        let latest = incidents.map(\.backAfter).max() ?? .zero
        let figures: [(String, String)] = [
            ("passed", "\(isFine)"), ("shown", "\(pages.all.shown)"), ("notShown", "\(pages.all.notShown)"),
            ("personal", "\(pages.all.personal)"), ("incidents", "\(incidents.count)"),
            ("leastPromptInTrouble", "\((least * 10_000).rounded() / 10_000)"),
            ("latestBackSeconds", "\(latest.inSeconds)"), ("openings", "\(pages.openings)"),
            ("rejected", "\(pages.rejected)"), ("calls", "\(load.calls)"), ("callsInTrouble", "\(load.callsInTrouble)"),
            ("mostAtOnce", "\(load.mostAtOnce)"),
        ]
        return "{" + figures.map { "\"\($0)\":\($1)" }.joined(separator: ",") + "}"
    }

    private func bar(_ share: Double) -> String {
        let blocks = Array("▁▂▃▄▅▆▇█")
        return String(blocks[min(blocks.count - 1, max(0, Int(share * Double(blocks.count) - 0.2)))])
    }
}
