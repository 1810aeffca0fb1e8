// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension SagaHistory {
    /// A page that shows what happened, one row a record, for somebody who knows the business and not the program.
    ///
    /// The page stands by itself: it needs no other file and no network.
    ///
    /// - Parameter title: What it is headed with; the business key or the identifier if `nil`.
    /// - Returns: The page.
    public func html(title: String? = nil) -> String {
        let title = title ?? [name, businessKey ?? id.rawValue].compactMap(\.self).joined(separator: " ")
        var page = """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width">
            <title>\(HTML.text(title))</title>
            <style>
            body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem; color: #1f2328; }
            h1 { font-size: 1.4rem; margin-bottom: .25rem; }
            dl { display: flex; flex-wrap: wrap; gap: .25rem 2rem; margin: 0 0 1.5rem; color: #57606a; }
            dt { display: inline; } dd { display: inline; margin: 0; color: #1f2328; font-weight: 600; }
            table { border-collapse: collapse; width: 100%; }
            th { text-align: left; font-weight: 600; border-bottom: 2px solid #d0d7de; padding: .3rem .6rem; }
            td { border-bottom: 1px solid #eaeef2; padding: .35rem .6rem; vertical-align: top; overflow-wrap: anywhere; }
            td.time { white-space: nowrap; font-variant-numeric: tabular-nums; color: #57606a; }
            td.what { white-space: nowrap; border-left: 4px solid #d0d7de; }
            tr.good td.what { border-left-color: #1a7f37; } tr.bad td.what { border-left-color: #cf222e; }
            tr.back td.what { border-left-color: #bf8700; } tr.person td.what { border-left-color: #8250df; }
            code { font-size: .85em; color: #57606a; }
            @media (prefers-color-scheme: dark) {
              body { background: #0d1117; color: #e6edf3; } dd { color: #e6edf3; } td { border-bottom-color: #21262d; }
              dl, td.time, code { color: #8b949e; } th { border-bottom-color: #30363d; }
            }
            </style>
            </head>
            <body>
            <h1>\(HTML.text(title))</h1>
            <dl>

            """
        let facts: [(String, String?)] = [
            ("Saga", id.rawValue), ("Outcome", status?.rawValue), ("Started", records.first?.time.rfc3339),
            ("Took", records.last.flatMap { last in records.first.map { Self.span(last.time - $0.time) } }),
        ]
        for (term, value) in facts {
            guard let value else { continue }
            page += "<div><dt>\(term)</dt> <dd>\(HTML.text(value))</dd></div>\n"
        }
        page += """
            </dl>
            <table>
            <thead><tr><th>After</th><th>What</th><th>Step</th><th>Details</th></tr></thead>
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

    private static func row(_ record: SagaRecord, start: Timestamp) -> String {
        var details: [String] = []
        if let author = record.author { details.append("<strong>\(HTML.text(author))</strong>") }
        if let attempt = record.attempt, attempt > 1 { details.append("attempt \(attempt)") }
        if let detail = record.detail { details.append(HTML.text(detail)) }
        if let payload = record.payload { details.append("<code>\(HTML.text(payload))</code>") }
        if let message = record.messageID { details.append("<code>\(HTML.text(message.rawValue))</code>") }
        let words = record.kind.rawValue.split(separator: "-").joined(separator: " ")
        return """
            <tr class="\(color(record.kind))" data-number="\(record.number)"><td class="time" \
            title="\(HTML.text(record.time.rfc3339))">\(span(record.time - start))</td><td class="what">\
            \(HTML.text(words))</td><td>\(HTML.text(record.step ?? ""))</td><td>\(details.joined(separator: " &middot; "))\
            </td></tr>

            """
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
