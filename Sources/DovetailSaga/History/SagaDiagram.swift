// SPDX-License-Identifier: Apache-2.0

/// The steps of a saga, to be drawn: what comes after what, what runs side by side, what undoes what, and where it decides.
///
/// ```swift
/// print(try sagas.diagram(of: PlaceOrder.self).mermaid())
/// ```
public struct SagaDiagram: Sendable {
    private let outline: SagaOutline

    init(_ outline: SagaOutline) {
        self.outline = outline
    }

    /// Checks a saga and draws it, without an engine.
    ///
    /// - Parameter saga: The saga.
    /// - Throws: ``SagaError`` with ``SagaError/Code/invalidPlan``.
    public init(_ saga: some Saga) throws(SagaError) {
        self.init(try TypedSagaDefinition(saga).outline)
    }

    private struct Edge {
        let from: String
        let to: String
        var label = ""
        var isUndo = false
    }

    private var names: [String: String] {
        Dictionary(
            outline.leaves.enumerated().map { ($0.element.name, "s\($0.offset + 1)") },
            uniquingKeysWith: { first, _ in first })
    }

    /// The steps that can fail and lead back, in their order.
    private var pivotStage: Int {
        outline.stages.firstIndex { $0.leaves.contains { $0.role == .pivot || $0.role == .retriable } }
            ?? outline.stages.count
    }

    /// Where a way through the steps has come to.
    private struct Way {
        var node: String
        /// The answers that the way has come by.
        var known: Set<SagaOutline.Guard> = []
        /// What the next edge tells of answers by which steps were passed over.
        var labels: [String] = []
    }

    private func forwardEdges(_ names: [String: String]) -> [Edge] {
        var edges: [Edge] = []
        var ways = [Way(node: "start")]
        for (place, stage) in outline.stages.enumerated() {
            let isParallel = stage.leaves.count > 1
            let entry = isParallel ? "fork\(place + 1)" : names[stage.leaves[0].name] ?? ""
            let shared = stage.leaves[0].guards.filter { one in stage.leaves.allSatisfy { $0.guards.contains(one) } }
            var passing: [Way] = []
            for way in ways {
                let open = shared.filter { !way.known.contains($0) }
                if !open.contains(where: { way.known.contains($0.negated) }) {
                    edges.append(
                        Edge(from: way.node, to: entry, label: (way.labels + open.map(\.text)).joined(separator: ", ")))
                }
                guard let first = open.first else { continue }
                let isKnown = way.known.contains(first.negated)
                passing.append(
                    Way(
                        node: way.node, known: way.known.union([first.negated]),
                        labels: isKnown ? way.labels : way.labels + [first.negated.text]))
            }
            if isParallel {
                for leaf in stage.leaves {
                    let own = leaf.guards.filter { !shared.contains($0) }.map(\.text).joined(separator: ", ")
                    edges.append(Edge(from: entry, to: names[leaf.name] ?? "", label: own))
                    edges.append(Edge(from: names[leaf.name] ?? "", to: "join\(place + 1)"))
                }
            }
            ways = [Way(node: isParallel ? "join\(place + 1)" : entry, known: Set(shared))] + passing
        }
        return edges + ways.map { Edge(from: $0.node, to: "end", label: $0.labels.joined(separator: ", ")) }
    }

    /// From each step that can fail to the compensation of what was done last before it, and on from there.
    private func undoEdges(_ names: [String: String]) -> [Edge] {
        var edges: [Edge] = []
        var last: String?
        for (place, stage) in outline.stages.enumerated() where place <= pivotStage {
            let isDecider = place == pivotStage
            if isDecider, !stage.leaves.contains(where: { $0.role == .pivot }) { break }
            for leaf in stage.leaves where leaf.kind != .sleep && (leaf.kind != .wait || leaf.timeout == .compensate) {
                let label = leaf.kind == .wait ? "in vain" : "refuses"
                edges.append(
                    Edge(
                        from: names[leaf.name] ?? "", to: last.map { "u\($0)" } ?? "undone", label: label, isUndo: true)
                )
                if leaf.hasUndo {
                    let name = names[leaf.name] ?? ""
                    edges.append(Edge(from: name, to: "u\(name)", label: "unclear", isUndo: true))
                }
            }
            if isDecider { break }
            for leaf in stage.leaves where leaf.hasUndo {
                let name = names[leaf.name] ?? ""
                edges.append(Edge(from: "u\(name)", to: last.map { "u\($0)" } ?? "undone", isUndo: true))
                last = name
            }
        }
        return edges
    }

    private func label(_ leaf: SagaOutline.Leaf) -> String {
        switch (leaf.role, leaf.kind) {
        case (.pivot, _): "\(leaf.name) (pivot)"
        case (.retriable, _): "\(leaf.name) (retriable)"
        case (_, .wait): "\(leaf.name) (waits for \(leaf.message ?? "a message"))"
        case (_, .sleep): "\(leaf.name) (pause)"
        default: leaf.name
        }
    }

    /// A state diagram in the language of [Mermaid](https://mermaid.js.org/syntax/stateDiagram.html).
    ///
    /// - Returns: The text of the diagram.
    public func mermaid() -> String {
        let names = names
        let undo = undoEdges(names)
        var lines = ["stateDiagram-v2"]
        for leaf in outline.leaves {
            lines.append("    state \"\(DiagramText.mermaid(label(leaf)))\" as \(names[leaf.name] ?? "")")
        }
        for (place, stage) in outline.stages.enumerated() where stage.leaves.count > 1 {
            lines += ["    state fork\(place + 1) <<fork>>", "    state join\(place + 1) <<join>>"]
        }
        for leaf in outline.leaves where leaf.hasUndo {
            lines.append("    state \"undo \(DiagramText.mermaid(leaf.name))\" as u\(names[leaf.name] ?? "")")
        }
        if !undo.isEmpty { lines.append("    state \"compensated\" as undone") }
        for edge in forwardEdges(names) + undo {
            let from = edge.from == "start" ? "[*]" : edge.from
            let to = edge.to == "end" ? "[*]" : edge.to
            let label = edge.label.isEmpty ? "" : ": \(DiagramText.mermaid(edge.label))"
            lines.append("    \(from) --> \(to)\(label)")
        }
        if !undo.isEmpty { lines.append("    undone --> [*]") }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A graph in the language of [Graphviz](https://graphviz.org/doc/info/lang.html).
    ///
    /// - Returns: The text of the graph.
    public func dot() -> String {
        let names = names
        let undo = undoEdges(names)
        var lines = [
            "digraph \(DiagramText.dot(outline.name)) {", "    rankdir=LR;", "    node [shape=box, style=rounded];",
            "    start [shape=point];", "    end [shape=doublecircle, label=\"\", width=0.15];",
        ]
        for leaf in outline.leaves {
            let shape =
                leaf.role == .pivot ? ", shape=octagon, style=bold" : leaf.role == .retriable ? ", style=filled" : ""
            lines.append("    \(names[leaf.name] ?? "") [label=\(DiagramText.dot(label(leaf)))\(shape)];")
        }
        for (place, stage) in outline.stages.enumerated() where stage.leaves.count > 1 {
            for bar in ["fork", "join"] {
                lines.append(
                    "    \(bar)\(place + 1) [shape=box, style=filled, fillcolor=black, label=\"\", width=0.05];")
            }
        }
        for leaf in outline.leaves where leaf.hasUndo {
            lines.append(
                "    u\(names[leaf.name] ?? "") [label=\(DiagramText.dot("undo \(leaf.name)")), style=\"rounded,dashed\"];"
            )
        }
        if !undo.isEmpty { lines.append("    undone [label=\"compensated\", shape=ellipse];") }
        for edge in forwardEdges(names) + undo {
            var attributes: [String] = []
            if !edge.label.isEmpty { attributes.append("label=\(DiagramText.dot(edge.label))") }
            if edge.isUndo { attributes.append("style=dashed") }
            let suffix = attributes.isEmpty ? "" : " [\(attributes.joined(separator: ", "))]"
            lines.append("    \(edge.from) -> \(edge.to)\(suffix);")
        }
        return lines.joined(separator: "\n") + "\n}\n"
    }
}

extension SagaOutline.Guard {
    fileprivate var negated: Self { Self(condition: condition, expected: !expected) }
    fileprivate var text: String { expected ? condition : "not \(condition)" }
}
