// SPDX-License-Identifier: Apache-2.0

import ExampleSupport

/// What the command line asks for.
struct Options: Sendable {
    enum Protection: String, CaseIterable {
        case idempotency
    }

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

    init(_ reader: CommandLineReader) throws(UsageError) {
        var reader = reader
        while let option = reader.next() {
            switch option {
            case "--activities": activities = try reader.number(from: 1, to: 100_000)
            case "--duplicate": duplicate = try reader.probability()
            case "--double": double = try reader.probability()
            case "--drop": drop = try reader.probability()
            case "--reorder": reorder = try reader.probability()
            case "--seed": seed = try reader.number(from: 0)
            case "--workers": workers = try reader.number(from: 1, to: 1024)
            case "--without":
                let _: Protection = try reader.choice()
                isProtected = false
            case "--json": json = try reader.flag()
            case "--help", "-h": help = try reader.flag()
            default: throw reader.unknownOption
            }
        }
        if drop == 1 { throw UsageError("--drop takes less than 1: nothing would ever arrive.") }
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
