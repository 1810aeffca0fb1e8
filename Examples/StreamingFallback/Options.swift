// SPDX-License-Identifier: Apache-2.0

import ExampleSupport

/// What the command line asks for.
struct Options {
    enum Protection: String, CaseIterable {
        case breaker, bulkhead
    }

    var seed: UInt64 = 1
    var without: Set<Protection> = []
    var json = false
    var help = false

    init(_ reader: CommandLineReader) throws(UsageError) {
        var reader = reader
        while let option = reader.next() {
            switch option {
            case "--seed": seed = try reader.number(from: 0)
            case "--without": without.formUnion(try reader.choices())
            case "--json": json = try reader.flag()
            case "--help", "-h": help = try reader.flag()
            default: throw reader.unknownOption
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
