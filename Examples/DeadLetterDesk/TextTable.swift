// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Rows under headings, in columns as wide as they need to be.
struct TextTable {
    private var rows: [[String]]
    private let most: [Int]

    /// - Parameter columns: The headings, each with the most characters of its column.
    init(_ columns: (heading: String, most: Int)...) {
        rows = [columns.map(\.heading)]
        most = columns.map(\.most)
    }

    mutating func add(_ cells: String...) {
        rows.append(zip(cells, most).map { $0.plain.shortened(to: $1) })
    }

    var text: String {
        let widths = most.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        let lines = rows.map { row in
            zip(row, widths).map { $0 + String(repeating: " ", count: $1 - $0.count) }.joined(separator: "  ")
        }
        return lines.map { line in String(line.reversed().drop { $0 == " " }.reversed()) }.joined(separator: "\n")
    }
}

extension String {
    /// In one line, and without what a terminal would take for an order to itself.
    var plain: String {
        String(String.UnicodeScalarView(unicodeScalars.map { $0.properties.generalCategory == .control ? " " : $0 }))
    }

    func shortened(to most: Int) -> String {
        count <= most ? self : prefix(max(0, most - 1)) + "…"
    }
}

extension Timestamp {
    /// To the second.
    var short: String { String(rfc3339.prefix(19)) + "Z" }

    /// How long ago, in words.
    func age(at now: Timestamp) -> String {
        let seconds = max(0, Int((now - self).components.seconds))
        switch seconds {
        case ..<60: return "\(seconds)s"
        case ..<3600: return "\(seconds / 60)m"
        case ..<86_400: return "\(seconds / 3600)h"
        default: return "\(seconds / 86_400)d"
        }
    }
}
