// SPDX-License-Identifier: Apache-2.0

import Workloads

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Prints every path with its figure, its floor, the ratio of the two, and its budget.
@main
struct Ratios {
    static func main() async throws {
        let options: Options
        do {
            options = try Options(CommandLine.arguments.dropFirst())
        } catch {
            print(error.message.map { "\($0)\n\n\(Options.help)" } ?? Options.help)
            exit(error.message == nil ? 0 : 64)
        }
        #if DEBUG
            print("This is a debug build; its figures say nothing. Use `swift run -c release Ratios`.\n")
        #endif
        print("Load of the machine before: \(load()); medians of \(options.runs) runs.\n")
        try await measure(options)
        print("\nLoad of the machine after: \(load()).")
    }

    /// Away from the main actor, so that nothing hops between it and the threads of tasks.
    @concurrent
    private static func measure(_ options: Options) async throws {
        try await measureMemory(options)
        var table = Table([
            ("path", .left), ("figure", .right), ("least to most", .right), ("unit", .left), ("CPU ns", .right),
            ("floor", .left), ("its figure", .right), ("CPU ns", .right), ("x cost", .right), ("x CPU", .right),
            ("budget", .left), ("met", .left),
        ])
        for comparison in Catalogue.comparisons where options.includes(comparison.name) {
            progress(comparison.name)
            add(comparison, try await comparison.measure(options), to: &table)
        }
        progress("")
        if !table.isEmpty { print(table.lines.joined(separator: "\n")) }
        try await measureLatencies(options)
    }

    private static func measureLatencies(_ options: Options) async throws {
        let shares = [(500, "50 %"), (900, "90 %"), (990, "99 %"), (999, "99.9 %"), (1000, "all")]
        var table = Table(
            [("milliseconds within which messages come", .left), ("side", .left)]
                + shares.map { ($0.1, Table.Alignment.right) } + [("budget", .left), ("met", .left)])
        for row in Catalogue.latencies where options.includes(row.name) {
            progress(row.name)
            let sides = options.leavesFloorsOut ? row.sides.prefix(1) : row.sides[...]
            for (index, side) in sides.enumerated() {
                let times = try await side.measure(max(1, Int(Double(row.count) * options.scale)))
                let budget = index == 0 ? row.budget : nil
                table.add(
                    [index == 0 ? row.name : "", side.name]
                        + shares.map { times.milliseconds(within: $0.0).readable }
                        + [
                            budget.map { "99 % ≤ \($0.readable)" } ?? "",
                            budget.map { times.milliseconds(within: 990) <= $0 ? "yes" : "NO" } ?? "",
                        ])
            }
        }
        progress("")
        if !table.isEmpty { print("\n" + table.lines.joined(separator: "\n")) }
    }

    /// Goes first: what other rows leave behind in the process would be used again.
    private static func measureMemory(_ options: Options) async throws {
        var table = Table([
            ("kept in memory", .left), ("how many", .right), ("bytes each", .right), ("budget", .left), ("met", .left),
        ])
        var kept: [any Sendable] = []
        for row in Catalogue.memory where options.includes(row.name) {
            progress(row.name)
            let count = max(1, Int(Double(row.count) * options.scale))
            let (bytes, keeper) = try await row.measure(count)
            kept.append(keeper)
            table.add([
                row.name, Double(count).readable, bytes.readable, row.budget.map { "≤ \($0.readable)" } ?? "",
                row.budget.map { bytes <= $0 ? "yes" : "NO" } ?? "",
            ])
        }
        progress("")
        if !table.isEmpty { print(table.lines.joined(separator: "\n") + "\n") }
        withExtendedLifetime(kept) {}
    }

    private static func add(_ comparison: Comparison, _ outcome: Outcome, to table: inout Table) {
        let (figure, processor) = (outcome.subject.figure, outcome.subject.processor.median)
        var cells = [
            comparison.name, figure.median.readable, "\(figure.least.readable) to \(figure.most.readable)",
            comparison.unit.label, processor.readable,
        ]
        if outcome.floors.isEmpty {
            table.add(cells + ["", "", "", "", "", comparison.budgetText, comparison.verdict(on: outcome)])
        }
        for (index, floor) in outcome.floors.enumerated() {
            table.add(
                cells + [
                    comparison.floors[index].name, floor.figure.median.readable, floor.processor.median.readable,
                    comparison.timesFloor(figure.median, floor.figure.median).readable,
                    (processor / floor.processor.median).readable,
                    index == 0 ? comparison.budgetText : "", index == 0 ? comparison.verdict(on: outcome) : "",
                ]
            )
            cells = cells.map { _ in "" }
        }
    }

    /// Says on a terminal what is measured now.
    private static func progress(_ name: String) {
        guard isatty(STDERR_FILENO) == 1 else { return }
        let line = "\u{1B}[2K\r\(name)"
        _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    }

    private static func load() -> String {
        var averages = [0.0, 0.0, 0.0]
        guard getloadavg(&averages, 3) == 3 else { return "unknown" }
        return averages.map(\.readable).joined(separator: " ")
    }
}
