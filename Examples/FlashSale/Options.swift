// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct Options {
    enum Protection: String, CaseIterable {
        case bulkhead, breaker
    }

    var seed: UInt64 = 1
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
            let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let name = argument.hasPrefix("--") ? parts[0] : argument
            let attached = argument.hasPrefix("--") && parts.count == 2 ? parts[1] : nil
            func value() throws(UsageError) -> String {
                guard let value = attached ?? rest.popFirst() else {
                    throw UsageError(message: "\(name) needs a value.")
                }
                return value
            }
            switch name {
            case "--seed":
                let text = try value()
                guard let number = UInt64(text) else {
                    throw UsageError(message: "--seed takes a whole number from 0, not '\(text)'.")
                }
                seed = number
            case "--without":
                for name in try value().split(separator: ",") {
                    guard let protection = Protection(rawValue: String(name)) else {
                        throw UsageError(message: "--without takes bulkhead or breaker, not '\(name)'.")
                    }
                    without.insert(protection)
                }
            case "--json", "--help", "-h":
                if attached != nil { throw UsageError(message: "\(name) takes no value.") }
                if name == "--json" { json = true } else { help = true }
            default: throw UsageError(message: "There is no option '\(argument)'.")
            }
        }
    }

    static let usage = """
        OVERVIEW: Two hundred merchants share a checkout, and one of them goes viral.

        For three minutes its crowd orders more than the whole checkout can take. Meanwhile one payment processor stops
        answering, recovers, and then the other one does. Each merchant has a bulkhead and each processor a breaker. Orders
        that cannot be paid now are kept as dead letters, by the tier of their merchant.

        The sale runs on virtual time, twice: as it happens, and without the crowd and with all protections. It passes if
        every other merchant has 99.9 % of its orders paid, at most 1.2 times as late (p99) as without the crowd, and if
        each order was either paid or kept.

        USAGE: FlashSale [options]

        OPTIONS:
          --seed N              Decides when customers come and how long payments take. (default: 1)
          --without PROTECTION  Removes a protection, to see what it was for: bulkhead or breaker. The sale is then
                                expected to fail. May be given more than once.
          --json                Prints one JSON object instead of a report.
          --help                Prints this.

        EXIT STATUS: 0 the others noticed nothing, 1 they did, 64 bad usage.
        """
}
