// SPDX-License-Identifier: Apache-2.0

import ExampleSupport

/// What the command line asks for.
struct Options {
    enum Protection: String, CaseIterable {
        case bulkhead, breaker
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

        EXIT STATUS: 0 the others noticed nothing, 1 they did, 64 bad usage, 70 the run was given up.
        """
}
