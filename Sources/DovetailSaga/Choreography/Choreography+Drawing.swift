// SPDX-License-Identifier: Apache-2.0

extension Choreography {
    /// Draws the flow as a Mermaid sequence diagram: who tells whom what, with the alternatives side by side.
    ///
    /// Failures end in a cross. Deadlines are drawn at the end, as what happens *if* they are reached.
    ///
    /// - Returns: The text of the diagram.
    public func mermaidSequence() -> String { FlowSequence.draw(self) }

    /// Draws the flow as a Mermaid flowchart: a box for each hop, an arrow for each event, dashed where something fails.
    ///
    /// - Returns: The text of the diagram.
    public func mermaidFlowchart() -> String {
        var lines = ["flowchart LR"]
        let graph = FlowGraph(self)
        for node in graph.nodes {
            let (open, close) =
                switch node.shape {
                case .hop: ("[", "]")
                case .beginning, .end: ("([", "])")
                case .deadline: ("{{", "}}")
                case .observer: ("[/", "/]")
                }
            let text = node.lines.map { DiagramText.mermaid($0) }.joined(separator: "<br/>")
            lines.append("    \(node.id)\(open)\"\(text)\"\(close)")
        }
        for edge in graph.edges {
            let arrow = edge.isFailure ? "-.->" : "-->"
            let label = edge.label.map { "|\"\(DiagramText.mermaid($0))\"|" } ?? ""
            lines.append("    \(edge.from) \(arrow)\(label) \(edge.to)")
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Draws the flow in the language of Graphviz: a box for each hop, an arrow for each event, dashed where something fails.
    ///
    /// - Returns: The text of the diagram.
    public func dot() -> String {
        var lines = [
            "digraph \(DiagramText.dot(name)) {",
            "    rankdir=LR;",
            "    node [shape=box, style=rounded, fontname=\"sans-serif\"];",
            "    edge [fontname=\"sans-serif\"];",
        ]
        let graph = FlowGraph(self)
        for node in graph.nodes {
            let shape =
                switch node.shape {
                case .hop: ""
                case .beginning, .end: ", shape=ellipse"
                case .deadline: ", shape=hexagon"
                case .observer: ", style=dotted"
                }
            lines.append("    \(node.id) [label=\(DiagramText.dot(node.lines))\(shape)];")
        }
        for edge in graph.edges {
            var attributes = edge.label.map { ["label=\(DiagramText.dot($0))"] } ?? []
            if edge.isFailure { attributes.append("style=dashed") }
            let list = attributes.isEmpty ? "" : " [\(attributes.joined(separator: ", "))]"
            lines.append("    \(edge.from) -> \(edge.to)\(list);")
        }
        return lines.joined(separator: "\n") + "\n}\n"
    }
}
