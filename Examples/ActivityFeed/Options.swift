// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct Options: Sendable {
    var activities = 1000
    var duplicate = 0.1
    var double = 0.05
    var drop = 0.05
    var reorder = 0.2
    var seed: UInt64 = 1
    var workers = 4
    var isProtected = true
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
            case "--activities": activities = try number(value(), for: name, from: 1, to: 100_000)
            case "--duplicate": duplicate = try probability(value(), for: name)
            case "--double": double = try probability(value(), for: name)
            case "--drop": drop = try probability(value(), for: name)
            case "--reorder": reorder = try probability(value(), for: name)
            case "--seed": seed = try number(value(), for: name, from: 0, to: .max)
            case "--workers": workers = try number(value(), for: name, from: 1, to: 1024)
            case "--without":
                let protection = try value()
                guard protection == "idempotency" else {
                    throw UsageError(message: "--without takes idempotency, not '\(protection)'.")
                }
                isProtected = false
            case "--json", "--help", "-h":
                if attached != nil { throw UsageError(message: "\(name) takes no value.") }
                if name == "--json" { json = true } else { help = true }
            default: throw UsageError(message: "There is no option '\(argument)'.")
            }
        }
        if drop == 1 { throw UsageError(message: "--drop takes less than 1: nothing would ever arrive.") }
    }

    static let usage = """
        OVERVIEW: What people do on a wall is told to twelve feeds, each activity once.

        Posts, comments and reactions are three kinds of events. Twelve consumers, each with a database of its own, read all of
        them from a bus that loses, repeats and reorders messages, and an app that is impatient submits some activities twice. A
        feed knows an activity again by a composite key: who did what to which post. At the end every feed is compared with the
        wall, from the rows of their databases.

        USAGE: ActivityFeed [options]

        OPTIONS:
          --activities N        How many things happen. (default: 1000)
          --duplicate P         A message comes twice with this probability. (default: 0.1)
          --double P            An activity is submitted twice, as two messages, with this probability. (default: 0.05)
          --drop P              A publish is answered as failed, stored or not, and a delivery vanishes and comes again,
                                with this probability. (default: 0.05)
          --reorder P           A message is overtaken by later ones with this probability. (default: 0.2)
          --seed N              Decides all of the above. (default: 1)
          --workers N           How many messages each feed handles at once. With 1, everything runs in one line on virtual
                                time: the same seed gives the same run. (default: 4)
          --without idempotency Removes the protection, to see what it is for. The check is then expected to fail.
          --json                Prints one JSON object instead of a report.
          --help                Prints this.

        EXIT STATUS: 0 every feed is right, 1 one is not, 64 bad usage, 70 the run was given up.
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
