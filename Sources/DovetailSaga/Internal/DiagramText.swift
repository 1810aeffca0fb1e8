// SPDX-License-Identifier: Apache-2.0

/// Text within the languages of diagrams, so that no name and no error can break out of its place.
enum DiagramText {
    /// Text between quotes of Mermaid, or in a message of a sequence diagram.
    ///
    /// - Parameters:
    ///   - line: The text; a line break in it becomes a space.
    ///   - most: How many characters of it are shown, since a diagram is read as a whole.
    /// - Returns: The text, with what Mermaid takes for its own by number.
    static func mermaid(_ line: String, atMost most: Int = .max) -> String {
        let shown = line.unicodeScalars.prefix(most).map { scalar in
            switch scalar {
            case "\"", "#", ";", "<", ">", "&", "|", "`", "%", "\\", "{", "}": "#\(scalar.value);"
            default: plain(scalar)
            }
        }
        return shown.joined() + (line.unicodeScalars.count > most ? "..." : "")
    }

    /// A quoted text of Graphviz.
    static func dot(_ line: String) -> String { dot([line]) }

    /// A quoted text of Graphviz of several lines.
    static func dot(_ lines: [String]) -> String {
        let escaped = lines.map { line in
            line.unicodeScalars.map { scalar in
                switch scalar {
                case "\"", "\\": "\\\(scalar)"
                default: plain(scalar)
                }
            }.joined()
        }
        return "\"\(escaped.joined(separator: "\\n"))\""
    }

    private static func plain(_ scalar: Unicode.Scalar) -> String {
        scalar.properties.generalCategory == .control ? " " : String(scalar)
    }
}
