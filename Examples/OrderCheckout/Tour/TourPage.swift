// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport

/// What the page of a tour shows, at one moment.
struct TourPage {
    /// One service.
    struct Row {
        var name: String
        /// Its process, or how long it has been dead.
        var state: State
        /// Messages that were committed and are not on the bus yet.
        var unsent: Int
        /// Messages on the bus that it has not handled.
        var waiting: Int
        /// How long the oldest of all these has been waiting.
        var lag: Duration
        var kills: Int
        /// Its backlog over time, the latest last.
        var history: [Int]

        var isRunning: Bool { if case .running = state { true } else { false } }

        /// Whether it runs and has nothing to do.
        var isIdle: Bool { isRunning && unsent + waiting == 0 }
    }

    enum State {
        case running(Int32)
        case killed(startsIn: Duration)
        case ended
    }

    var elapsed: Duration
    var total: Int?
    var accepted: Int
    var confirmed: Int
    var cancelled: Int
    var rows: [Row]
    var message: String

    /// The page in one line, where there is no terminal.
    var line: String {
        let backlogs = rows.map { row in
            "\(row.name)\(row.isRunning ? "" : " (dead)") \((row.unsent + row.waiting).grouped)"
        }
        return
            "\(elapsed.short): \(accepted.grouped) orders taken in, \((confirmed + cancelled).grouped) ended; to do: "
            + backlogs.joined(separator: ", ") + ". " + message
    }

    var lines: [String] {
        let ended = confirmed + cancelled
        var lines = [
            "",
            "  Orders go through three services, each a process with a database of its own.".bold,
            "",
            "  \(pad(accepted.grouped, 7)) orders taken in\(total.map { " of \($0.grouped)" } ?? "")",
            "  \(pad(ended.grouped, 7)) ended: \(confirmed.grouped) confirmed, \(cancelled.grouped) cancelled",
            "  \(pad((accepted - ended).grouped, 7)) under way   \(bar(ended, of: total ?? accepted))",
            "",
            "  service     process          outbox   on the bus   oldest     backlog".dim,
        ]
        for row in rows {
            let backlog = row.unsent + row.waiting
            lines.append(
                "  \(row.name.padded(12))\(text(row.state))\(pad(row.unsent.grouped, 6))\(pad(row.waiting.grouped, 13))"
                    + "\(pad(backlog == 0 ? "-" : row.lag.short, 9))     \(sparkline(row.history))"
            )
        }
        lines += ["", "  \(message)", ""]
        lines.append("  o, p, i".bold + "  kill a service    " + "space".bold + "  kill any    " + "q".bold + "  quit")
        return lines
    }

    private func text(_ state: State) -> String {
        switch state {
        case .running(let identifier): "● \(identifier)".padded(15).green
        case .killed(let time): "✖ back in \(time.short)".padded(15).red
        case .ended: "✖ ended".padded(15).red
        }
    }

    private func bar(_ part: Int, of whole: Int) -> String {
        let width = 30
        let filled = whole > 0 ? min(width, part * width / whole) : 0
        return String(repeating: "█", count: filled) + String(repeating: "░", count: width - filled)
    }

    /// Heights by the square root, so that small backlogs show beside large ones.
    private func sparkline(_ values: [Int]) -> String {
        let blocks = Array("▁▂▃▄▅▆▇█")
        return String(
            values.suffix(24).map { value in
                let height = (Double(max(0, value)) / 4).squareRoot()
                return blocks[min(blocks.count - 1, Int(height.rounded(.up)))]
            })
    }

    private func pad(_ text: String, _ width: Int) -> String { text.padded(-width) }
}

extension String {
    fileprivate var bold: String { "\u{1B}[1m\(self)\u{1B}[0m" }
    fileprivate var dim: String { "\u{1B}[2m\(self)\u{1B}[0m" }
    fileprivate var green: String { "\u{1B}[32m\(self)\u{1B}[0m" }
    fileprivate var red: String { "\u{1B}[31m\(self)\u{1B}[0m" }
}
