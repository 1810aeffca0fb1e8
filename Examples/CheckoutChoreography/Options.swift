// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct Options: Sendable {
    /// What can be removed, to see what it is for.
    enum Protection: String, Sendable, CaseIterable {
        case idempotency, outbox, compensation
    }

    /// Who can be stopped for a while.
    enum Part: String, Sendable, CaseIterable {
        case payments, inventory
    }

    enum Drawing: String, Sendable, CaseIterable {
        case sequence, flowchart, dot
    }

    var orders = 200
    var duplicate = 0.2
    var drop = 0.1
    var reorder = 0.2
    var decline = 0.1
    var outOfStock = 0.1
    var seed: UInt64 = 1
    var stop: Part?
    var without: Protection?
    var draw: Drawing?
    var json = false
    var help = false

    /// A command line that cannot be understood.
    struct UsageError: Error {
        let message: String
    }

    init(_ arguments: some Sequence<String>) throws(UsageError) {
        var rest = Array(arguments)[...]
        while let argument = rest.popFirst() {
            var name = argument
            var attached: String?
            if argument.hasPrefix("--"), let equals = argument.firstIndex(of: "=") {
                name = String(argument[..<equals])
                attached = String(argument[argument.index(after: equals)...])
            }
            func value() throws(UsageError) -> String {
                guard let value = attached ?? rest.popFirst() else {
                    throw UsageError(message: "\(name) needs a value.")
                }
                return value
            }
            switch name {
            case "--orders": orders = try number(value(), for: name, from: 1, to: 10_000)
            case "--duplicate": duplicate = try probability(value(), for: name)
            case "--drop": drop = try probability(value(), for: name)
            case "--reorder": reorder = try probability(value(), for: name)
            case "--decline": decline = try probability(value(), for: name)
            case "--out-of-stock": outOfStock = try probability(value(), for: name)
            case "--seed": seed = try number(value(), for: name, from: 0, to: .max)
            case "--stop": stop = try choice(value(), for: name)
            case "--without": without = try choice(value(), for: name)
            case "--draw": draw = try choice(value(), for: name)
            case "--json", "--help", "-h":
                if attached != nil { throw UsageError(message: "\(name) takes no value.") }
                if name == "--json" { json = true } else { help = true }
            default: throw UsageError(message: "There is no option '\(argument)'.")
            }
        }
        if drop == 1 { throw UsageError(message: "--drop takes less than 1: nothing would ever arrive.") }
    }

    static let usage = """
        OVERVIEW: Orders, payments and inventory in a flow in which nobody is in charge.

        Three services react to each other's events; each knows only its own part. The flow is declared once, checked before
        anything runs, and each service is held to it. A watch follows every order from the side and says which one has
        stalled, and at whose hop. The bus loses, repeats and reorders messages. At the end the books are audited from the rows
        of the three databases, and what was really said is compared with what the flow declares. Everything runs on virtual
        time: the same seed gives the same run.

        USAGE: CheckoutChoreography [options]

        OPTIONS:
          --orders N            How many orders are placed. (default: 200)
          --duplicate P         A message comes twice with this probability. (default: 0.2)
          --drop P              A publish is answered as failed, stored or not, and a delivery vanishes and comes again,
                                with this probability. (default: 0.1)
          --reorder P           A message is overtaken by later ones with this probability. (default: 0.2)
          --decline P           A card is declined with this probability. (default: 0.1)
          --out-of-stock P      There is no stock for a paid order with this probability. (default: 0.1)
          --seed N              Decides all of the above. (default: 1)
          --stop SERVICE        This service is down for the first ten minutes: payments or inventory. The watch notices, and one
                                of the orders that waited is drawn.
          --without PROTECTION  Removes one, to see what it is for: idempotency, outbox or compensation. The audit is then
                                expected to fail.
          --draw KIND           Draws the flow and ends: sequence or flowchart (both Mermaid), or dot (Graphviz).
          --json                Prints one JSON object instead of a report.
          --help                Prints this.

        EXIT STATUS: 0 the books balance, 1 they do not, 64 bad usage, 70 the run was given up.
        """
}

private func probability(_ text: String, for name: String) throws(Options.UsageError) -> Double {
    guard let value = Double(text), (0...1).contains(value) else {
        throw Options.UsageError(message: "\(name) takes a number from 0 to 1, not '\(text)'.")
    }
    return value
}

private func number<N: FixedWidthInteger>(
    _ text: String, for name: String, from least: N, to most: N
) throws(Options.UsageError) -> N {
    guard let value = N(text), (least...most).contains(value) else {
        throw Options.UsageError(message: "\(name) takes a whole number from \(least) to \(most), not '\(text)'.")
    }
    return value
}

private func choice<Choice: RawRepresentable<String> & CaseIterable>(
    _ text: String, for name: String
) throws(Options.UsageError) -> Choice {
    guard let found = Choice(rawValue: text) else {
        let names = Choice.allCases.map(\.rawValue)
        let list = names.dropLast().joined(separator: ", ") + " or " + (names.last ?? "")
        throw Options.UsageError(message: "\(name) takes \(list), not '\(text)'.")
    }
    return found
}
