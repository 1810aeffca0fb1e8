// SPDX-License-Identifier: Apache-2.0

/// Lines of text in columns.
struct Table {
    enum Alignment { case left, right }

    private let alignments: [Alignment]
    private var rows: [[String]]

    init(_ columns: [(title: String, alignment: Alignment)]) {
        alignments = columns.map(\.alignment)
        rows = [columns.map(\.title)]
    }

    mutating func add(_ cells: [String]) {
        rows.append(cells)
    }

    var isEmpty: Bool { rows.count == 1 }

    var lines: [String] {
        let widths = alignments.indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var lines = rows.map { row in
            let cells = row.indices.map { column in
                let space = String(repeating: " ", count: widths[column] - row[column].count)
                return alignments[column] == .left ? row[column] + space : space + row[column]
            }
            return "| " + cells.joined(separator: " | ") + " |"
        }
        let rule = widths.indices.map { column in
            let dashes = String(repeating: "-", count: widths[column] + 1)
            return alignments[column] == .left ? "-" + dashes : dashes + ":"
        }
        lines.insert("|" + rule.joined(separator: "|") + "|", at: 1)
        return lines
    }
}

extension Double {
    /// With thousands marked, and as many places as tell something.
    var readable: String {
        guard magnitude < 100 else {
            let digits = String(Int(rounded()))
            var text = ""
            for (index, digit) in digits.enumerated() {
                if index > 0, (digits.count - index) % 3 == 0 { text.append(",") }
                text.append(digit)
            }
            return text
        }
        let places = magnitude < 10 ? 100.0 : 10.0
        let scaled = Int((self * places).rounded())
        let (whole, part) = scaled.quotientAndRemainder(dividingBy: Int(places))
        let digits = String(part)
        return "\(whole)." + String(repeating: "0", count: places == 100 ? max(0, 2 - digits.count) : 0) + digits
    }
}
