// SPDX-License-Identifier: Apache-2.0

import DovetailSimulation
import ExampleSupport

/// What the command line asks for.
struct Options {
    var seeds: UInt64 = 1000
    var mistakes: Set<Mistake> = []
    var replay: Replay?
    var reach = false
    var trace = false
    var help = false

    init(_ reader: CommandLineReader) throws(UsageError) {
        var reader = reader
        while let option = reader.next() {
            switch option {
            case "--seeds": seeds = try reader.number(from: 1)
            case "--mistake": mistakes.formUnion(try reader.choices())
            case "--replay": replay = try Self.replay(try reader.value())
            case "--trace": trace = try reader.flag()
            case "--reach": reach = try reader.flag()
            case "--help", "-h": help = try reader.flag()
            default: throw reader.unknownOption
            }
        }
        if trace, replay == nil {
            throw UsageError("'--trace' needs a '--replay', which says what to run.")
        }
        if replay != nil, mistakes.count != 1 {
            throw UsageError("'--replay' needs one '--mistake', the one of the story that the line ended.")
        }
    }

    private static func replay(_ line: String) throws(UsageError) -> Replay {
        guard let replay = Replay(line) else { throw UsageError("'\(line)' is no replay line.") }
        return replay
    }

    static let usage = """
        OVERVIEW: Find the bug before the night does.

        A payment service is built right, and then with each of five usual mistakes. Each version goes through bad days: a message
        is lost, repeated or late, a database refuses or loses its answer, a service crashes, the bus is down, a clock is set. The one
        built right must survive all of them. Each mistake must be found, and is told as a story of less than thirty lines:
        the smallest day on which it shows, with a line to replay it.

        USAGE: GameDay [options]

        OPTIONS:
          --seeds N       How many days each version goes through, or until one fails. (default: 1000)
          --mistake NAME  Only this mistake: no-key, key-in-memory, dual-write, swallowed-error or read-outside. May be given
                          more than once.
          --replay LINE   Runs the one day that the end of a story names; needs --mistake.
          --trace         With --replay, prints all that happens on that day rather than the story.
          --reach         Also prints which faults, states and transitions the days reached.
          --help          Prints this.

        EXIT STATUS: 0 every mistake was found and the service without one survived, 1 not so, 64 bad usage.
        """
}
