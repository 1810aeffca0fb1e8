// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct Options {
    enum Protection: String, CaseIterable {
        case outbox, idempotency, retry
    }

    /// The file of orders; `nil` for the one that comes with the example, `-` for standard input.
    var orders: String?
    var duplicate = 0.1
    var drop = 0.05
    var reorder = false
    var decline = 0.05
    var outOfStock = 0.05
    var seed: UInt64 = 1
    var workers = 8
    var without: Set<Protection> = []
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
            case "--orders": orders = try value()
            case "--duplicate": duplicate = try probability(value(), for: name)
            case "--drop": drop = try probability(value(), for: name)
            case "--decline": decline = try probability(value(), for: name)
            case "--out-of-stock": outOfStock = try probability(value(), for: name)
            case "--seed": seed = try number(value(), for: name, atLeast: UInt64(0))
            case "--workers": workers = try number(value(), for: name, atLeast: 1)
            case "--without": without.formUnion(try protections(value()))
            case "--reorder", "--json", "--help", "-h":
                if attached != nil { throw UsageError(message: "\(name) takes no value.") }
                switch name {
                case "--reorder": reorder = true
                case "--json": json = true
                default: help = true
                }
            default: throw UsageError(message: "There is no option '\(argument)'.")
            }
        }
        if workers > 1024 { throw UsageError(message: "--workers takes at most 1024.") }
    }

    static let usage = """
        OVERVIEW: Orders go through three services that cannot see each other.

        Order, Payment and Inventory each have a database of their own and are joined only by events, on a bus that loses,
        repeats and reorders messages. At the end the books are audited from the rows of the three databases.

        USAGE: OrderCheckout [options]

        OPTIONS:
          --orders FILE         JSON lines, or CSV with a header: orderID,customerID,sku,quantity,cents,placedAt.
                                '-' reads standard input. Without it: a file of 1,000 orders that comes along.
          --duplicate P         A delivery is repeated with this probability. (default: 0.1)
          --drop P              A publish is answered as failed, stored or not, and a delivery vanishes and comes again,
                                with this probability. (default: 0.05)
          --reorder             Deliveries overtake each other.
          --decline P           The card of an order is declined with this probability. (default: 0.05)
          --out-of-stock P      An order that was paid finds nothing in stock with this probability. (default: 0.05)
          --seed N              Decides all of the above. (default: 1)
          --workers N           How many messages each service handles at once. With 1 everything runs in one line on
                                virtual time: the same seed gives the same run, to the last delivery. (default: 8)
          --without PROTECTION  Removes a protection, to see what it was for: outbox, idempotency or retry. The audit is
                                then expected to fail. May be given more than once.
          --json                Prints one JSON object instead of a report.
          --help                Prints this.

        EXIT STATUS: 0 the books balance, 1 they do not, 64 bad usage, 66 no such file.
        """
}

private func probability(_ text: String, for name: String) throws(Options.UsageError) -> Double {
    guard let value = Double(text), (0...1).contains(value) else {
        throw Options.UsageError(message: "\(name) takes a number from 0 to 1, not '\(text)'.")
    }
    return value
}

private func number<N: FixedWidthInteger>(
    _ text: String, for name: String, atLeast least: N
) throws(Options.UsageError) -> N {
    guard let value = N(text), value >= least else {
        throw Options.UsageError(message: "\(name) takes a whole number from \(least), not '\(text)'.")
    }
    return value
}

private func protections(_ text: String) throws(Options.UsageError) -> Set<Options.Protection> {
    var found: Set<Options.Protection> = []
    for name in text.split(whereSeparator: { $0 == "," || $0 == "|" }) {
        guard let protection = Options.Protection(rawValue: String(name)) else {
            throw Options.UsageError(message: "--without takes outbox, idempotency or retry, not '\(name)'.")
        }
        found.insert(protection)
    }
    if found.isEmpty { throw Options.UsageError(message: "--without takes outbox, idempotency or retry.") }
    return found
}
