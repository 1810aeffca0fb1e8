// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension SagaHistory {
    /// A page that shows what happened, one row a record, for somebody who knows the business and not the program.
    ///
    /// Above the rows it says how the saga stands and why, and what became of each step. The page stands by itself: it needs no other
    /// file and no network.
    ///
    /// - Parameter title: What it is headed with; the business key, or the identifier where there is none, if `nil`.
    /// - Returns: The page.
    public func html(title: String? = nil) -> String {
        let title = title ?? businessKey ?? id.rawValue
        var page = """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width">
            <title>\(HTML.text(title))</title>
            <style>
            body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 66rem; padding: 0 1rem; color: #1f2328; }
            h1 { font-size: 1.5rem; margin: 0 0 .5rem; }
            p.state { border-left: 6px solid #d0d7de; margin: 0 0 1rem; padding: .1rem .75rem; font-size: 1.1rem; }
            p.state strong { display: block; }
            dl { display: flex; flex-wrap: wrap; gap: .25rem 2rem; margin: 0 0 1rem; color: #57606a; }
            dt { display: inline; } dd { display: inline; margin: 0; color: #1f2328; font-weight: 600; }
            ul { display: flex; flex-wrap: wrap; gap: .4rem; list-style: none; margin: 0 0 1.5rem; padding: 0; }
            li { border: 1px solid #d0d7de; border-left-width: 4px; border-radius: 4px; padding: .1rem .6rem; }
            li span { color: #57606a; }
            table { border-collapse: collapse; width: 100%; }
            th { text-align: left; font-weight: 600; border-bottom: 2px solid #d0d7de; padding: .3rem .6rem; }
            td { border-bottom: 1px solid #eaeef2; padding: .35rem .6rem; vertical-align: top; overflow-wrap: anywhere; }
            td.time { white-space: nowrap; font-variant-numeric: tabular-nums; color: #57606a; }
            td.what { white-space: nowrap; border-left: 4px solid #d0d7de; }
            .good td.what, p.good, li.good { border-left-color: #1a7f37; }
            .bad td.what, p.bad, li.bad { border-left-color: #cf222e; }
            .back td.what, p.back, li.back { border-left-color: #bf8700; }
            .person td.what, li.person { border-left-color: #8250df; }
            code { font-size: .9em; color: #57606a; }
            @media (prefers-color-scheme: dark) {
              body { background: #0d1117; color: #e6edf3; } dd { color: #e6edf3; } td { border-bottom-color: #21262d; }
              dl, td.time, code, li span { color: #9198a1; } th { border-bottom-color: #3d444d; }
              li { border-top-color: #3d444d; border-right-color: #3d444d; border-bottom-color: #3d444d; }
            }
            </style>
            </head>
            <body>
            <h1>\(HTML.text(title))</h1>

            """
        page += state + facts + stepList
        page += """
            <table>
            <thead><tr><th>At (UTC)</th><th>After</th><th>What</th><th>Step</th><th>Details</th></tr></thead>
            <tbody>

            """
        for record in records { page += Self.row(record, start: records.first?.time ?? record.time) }
        page += """
            </tbody>
            </table>
            </body>
            </html>

            """
        return page
    }

    // MARK: Above the rows

    /// How the saga stands, and why it is not simply done.
    private var state: String {
        let (color, words) =
            switch status {
            case .completed?: ("good", "Completed: every step is done.")
            case .compensated?: ("back", "Compensated: what was done is undone.")
            case .cancelled?: ("back", "Cancelled: what was done is undone.")
            case .parked?: ("bad", "Parked: it waits for a person.")
            case .compensating?: ("back", "Compensating: what was done is being undone.")
            case .running?: ("plain", "Running.")
            case let other?: ("plain", other.rawValue)
            case nil: ("plain", "Forgotten: only its records are left.")
            }
        let kinds: Set<SagaRecord.Kind> = status == .parked ? [.parked] : [.compensating]
        let why = status == .completed ? nil : records.last { kinds.contains($0.kind) }?.detail
        return "<p class=\"state \(color)\"><strong>\(HTML.text(words))</strong>\(HTML.text(why ?? ""))</p>\n"
    }

    private var facts: String {
        let facts: [(String, String?)] = [
            ("Kind", name), ("Identifier", id.rawValue),
            ("Started", records.first.map { "\(Self.clock($0.time)) UTC" }),
            ("Took", records.last.flatMap { last in records.first.map { Self.span(last.time - $0.time) } }),
        ]
        var lines = "<dl>\n"
        for case (let term, let value?) in facts {
            lines += "<div><dt>\(term)</dt> <dd>\(HTML.text(value))</dd></div>\n"
        }
        return lines + "</dl>\n"
    }

    /// What became of each step, in the order in which they began.
    private var stepList: String {
        var names: [String] = []
        var last: [String: SagaRecord.Kind] = [:]
        for record in records where !Self.beside.contains(record.kind) {
            guard let step = record.step else { continue }
            if last.updateValue(record.kind, forKey: step) == nil { names.append(step) }
        }
        guard !names.isEmpty else { return "" }
        let items = names.map { name in
            let kind = last[name] ?? .stepStarted
            // That it is a step is said by where it stands.
            let word = Self.words(kind).trimmingPrefix("step ")
            return "<li class=\"\(Self.color(kind))\">\(HTML.text(name)) <span>\(word)</span></li>\n"
        }
        return "<ul>\n\(items.joined())</ul>\n"
    }

    /// What is told of a step without changing how it stands.
    private static let beside: Set<SagaRecord.Kind> = [.operationRefused, .takenOver, .parked]

    // MARK: Rows

    private static func row(_ record: SagaRecord, start: Timestamp) -> String {
        var details: [String] = []
        if let author = record.author { details.append("<strong>\(HTML.text(author))</strong>") }
        if let attempt = record.attempt, attempt > 1 { details.append("attempt \(attempt)") }
        if let detail = record.detail { details.append(HTML.text(detail)) }
        if let payload = record.payload { details.append("result <code>\(HTML.text(payload))</code>") }
        if let message = record.messageID { details.append("message <code>\(HTML.text(message.rawValue))</code>") }
        return """
            <tr class="\(color(record.kind))" data-number="\(record.number)"><td class="time" \
            title="\(HTML.text(record.time.rfc3339))">\(clock(record.time))</td><td class="time">\
            \(span(record.time - start))</td><td class="what">\(words(record.kind))</td><td>\
            \(HTML.text(record.step ?? ""))</td><td>\(details.joined(separator: " &middot; "))</td></tr>

            """
    }

    private static func words(_ kind: SagaRecord.Kind) -> String {
        HTML.text(kind.rawValue.split(separator: "-").joined(separator: " "))
    }

    /// Day and time to the second, as people read them.
    private static func clock(_ time: Timestamp) -> String {
        String(time.rfc3339.prefix { $0 != "." && $0 != "Z" }.map { $0 == "T" ? " " : $0 })
    }

    private static func color(_ kind: SagaRecord.Kind) -> String {
        switch kind {
        case .stepDone, .received, .completed: "good"
        case .stepFailed, .stepRefused, .undoFailed, .parked, .waitedInVain, .takenOver, .operationRefused: "bad"
        case .compensating, .undoStarted, .undone, .compensated, .cancelled: "back"
        case .operated: "person"
        default: "plain"
        }
    }

    /// A span as people say it, to a thousandth of a second.
    private static func span(_ duration: Duration) -> String {
        let milliseconds = duration.nanoseconds / 1_000_000
        let (seconds, rest) = milliseconds.quotientAndRemainder(dividingBy: 1000)
        if seconds >= 86_400 { return "\(seconds / 86_400) d \(seconds % 86_400 / 3600) h" }
        if seconds >= 3600 { return "\(seconds / 3600) h \(seconds % 3600 / 60) min" }
        if seconds >= 60 { return "\(seconds / 60) min \(seconds % 60) s" }
        if seconds > 0 { return "\(seconds).\(rest / 100) s" }
        return "\(rest) ms"
    }
}

private enum HTML {
    static func text(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            // Nothing else below a space may stand in a page.
            case _ where scalar.value < 32 && scalar != "\n" && scalar != "\t": result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }
}
