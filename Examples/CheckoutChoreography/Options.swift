// SPDX-License-Identifier: Apache-2.0

import ExampleSupport

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

    init(_ reader: CommandLineReader) throws(UsageError) {
        var reader = reader
        while let option = reader.next() {
            switch option {
            case "--orders": orders = try reader.number(from: 1, to: 10_000)
            case "--duplicate": duplicate = try reader.probability()
            case "--drop": drop = try reader.probability()
            case "--reorder": reorder = try reader.probability()
            case "--decline": decline = try reader.probability()
            case "--out-of-stock": outOfStock = try reader.probability()
            case "--seed": seed = try reader.number(from: 0)
            case "--stop": stop = try reader.choice()
            case "--without": without = try reader.choice()
            case "--draw": draw = try reader.choice()
            case "--json": json = try reader.flag()
            case "--help", "-h": help = try reader.flag()
            default: throw reader.unknownOption
            }
        }
        if drop == 1 { throw UsageError("--drop takes less than 1: nothing would ever arrive.") }
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
