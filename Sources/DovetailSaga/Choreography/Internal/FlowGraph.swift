// SPDX-License-Identifier: Apache-2.0

/// A flow as boxes and arrows.
struct FlowGraph {
    enum Shape {
        case beginning, hop, deadline, observer, end
    }

    struct Node {
        let id: String
        let lines: [String]
        let shape: Shape
    }

    struct Edge: Hashable {
        let from: String
        let to: String
        let label: String?
        let isFailure: Bool
    }

    private(set) var nodes: [Node] = []
    private(set) var edges: [Edge] = []

    init(_ flow: Choreography) {
        var ends: [String] = []
        for (index, hop) in flow.hops.enumerated() {
            let shape: Shape =
                switch hop.trigger {
                case .beginning: .beginning
                case .events: .hop
                case .deadline: .deadline
                case .observed: .observer
                }
            var lines = [hop.participant]
            if let deadline = hop.deadline { lines.append("deadline \(deadline)") }
            if !hop.undone.isEmpty { lines.append("undoes \(hop.undone.labels("and"))") }
            nodes.append(Node(id: "h\(index)", lines: lines, shape: shape))
            for outcome in hop.outcomes {
                if case .end(let name, _) = outcome, !ends.contains(name) { ends.append(name) }
            }
        }
        for (index, name) in ends.enumerated() { nodes.append(Node(id: "e\(index)", lines: [name], shape: .end)) }

        for (index, hop) in flow.hops.enumerated() {
            for outcome in hop.outcomes {
                var isFailure = false
                if case .failure = outcome { isFailure = true }
                for event in outcome.events {
                    for (reader, other) in flow.hops.enumerated() where other.inputs.contains(event) {
                        add(Edge(from: "h\(index)", to: "h\(reader)", label: event.label, isFailure: isFailure))
                    }
                }
                if case .end(let name, _) = outcome, let end = ends.firstIndex(of: name) {
                    add(Edge(from: "h\(index)", to: "e\(end)", label: nil, isFailure: false))
                }
            }
        }
    }

    private mutating func add(_ edge: Edge) {
        if !edges.contains(edge) { edges.append(edge) }
    }
}
