// SPDX-License-Identifier: Apache-2.0

/// What the command line asks for.
struct Options {
    enum Protection: String, CaseIterable {
        case breaker, bulkhead
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
                let text = try value()
                guard let protection = Protection(rawValue: text) else {
                    throw UsageError(message: "--without takes breaker or bulkhead, not '\(text)'.")
                }
                without.insert(protection)
            case "--json", "--help", "-h":
                if attached != nil { throw UsageError(message: "\(name) takes no value.") }
                if name == "--json" { json = true } else { help = true }
            default: throw UsageError(message: "There is no option '\(argument)'.")
            }
        }
    }

    static let usage = """
        OVERVIEW: A month of a streaming service whose recommendations are not always well.

        Every home page asks for recommendations, and shows popular titles if there are none. On some evenings the
        recommendation service is slow, or fails. A breaker that opens when half of the calls of ten seconds fail keeps viewers
        from waiting for it, a time limit ends single calls, and a bulkhead keeps them few. The month runs on virtual time.

        It passes if every page is shown, nine of ten within half a second also while there is trouble, if recommendations are
        back within two minutes after it, and if no more pages than allowed wait for the service at once.

        USAGE: StreamingFallback [options]

        OPTIONS:
          --seed N              Decides when viewers come and when there is trouble. (default: 1)
          --without PROTECTION  Removes a protection, to see what it was for: breaker or bulkhead. The month is then
                                expected to fail. May be given more than once.
          --json                Prints one JSON object instead of a report.
          --help                Prints this.

        EXIT STATUS: 0 viewers were well served, 1 they were not, 64 bad usage, 70 the run was given up.
        """
}
