// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport

/// What the command line asks for.
struct Options: Sendable {
    enum Protection: String, CaseIterable {
        case fencing, idempotency, compensation
    }

    var trips = 500
    var seed: UInt64 = 1
    var faults = 0.1
    var declines = 0.2
    var without: Set<Protection> = []
    var database = DatabaseChoice.memory
    var crash = false
    var timeline: String?
    var json = false
    var help = false
    /// Runs an engine only, for a run of another process.
    var isEngine = false
    /// Runs no engine, since others do.
    var isDesk = false

    /// Whether what happens outlives the process.
    var isLasting: Bool { database != .memory }

    var isFenced: Bool { !without.contains(.fencing) }
    var isIdempotent: Bool { !without.contains(.idempotency) }
    var compensates: Bool { !without.contains(.compensation) }

    /// After what time engines take over from each other.
    var lease: Duration { !isLasting ? .seconds(10) : .milliseconds(1500) }
    /// How long a trip waits for its driver, and for stars.
    var patience: Duration { !isLasting ? .seconds(120) : .seconds(3) }

    /// Whether the engine that runs a trip first is cut off in the middle of it, and its passenger cancels meanwhile.
    func stalls(_ trip: Int) -> Bool { trip % 41 == 0 }

    /// The consumer by which messages find their trips.
    static let inbox = "trips"

    /// The trip whose history is shown: one whose driver does not confirm.
    var shownTrip: SagaID { Self.id(of: min(trips, 34)) }

    static func id(of trip: Int) -> SagaID { SagaID("trip-\(trip)") }

    static func number(of id: SagaID) -> Int { Int(id.rawValue.dropFirst("trip-".count)) ?? 0 }

    init(_ reader: CommandLineReader) throws(UsageError) {
        var reader = reader
        while let option = reader.next() {
            switch option {
            case "--trips": trips = try reader.number(from: 1, to: 1_000_000)
            case "--seed": seed = try reader.number(from: 0)
            case "--faults": faults = try reader.fraction(in: 0...0.9)
            case "--without": without.formUnion(try reader.choices())
            case "--database": database = try DatabaseChoice(reader.value())
            case "--timeline": timeline = try reader.value()
            case "--crash": crash = try reader.flag()
            case "--engine": isEngine = try reader.flag()
            case "--desk": isDesk = try reader.flag()
            case "--json": json = try reader.flag()
            case "--help", "-h": help = try reader.flag()
            default: throw reader.unknownOption
            }
        }
        guard !help else { return }
        for (name, isGiven) in [("--crash", crash), ("--engine", isEngine), ("--desk", isDesk)] where isGiven {
            if !isLasting { throw UsageError("\(name) needs --database, which processes can share.") }
        }
        if [crash, isEngine, isDesk].count(where: \.self) > 1 {
            throw UsageError("--crash, --engine and --desk exclude each other.")
        }
    }

    static let usage = """
        OVERVIEW: Trips through a city as sagas: a hold on the card, a driver, the ride, the money, the stars, the receipt.

        Services do not answer, answers get lost, drivers decline or say nothing, passengers cancel, and engines are cut off
        and end in the middle. In the end the books are read: each trip was either ridden, paid once and has a receipt, or it
        was not ridden and the passenger has the money back, once.

        USAGE: TripSaga [options]

        OPTIONS:
          --trips N             How many trips. (default: 500)
          --seed N              Decides everything that chance decides. (default: 1)
          --faults SHARE        The share of calls without an answer. (default: 0.1)
          --without PROTECTION  Removes a protection, to see what it was for: fencing, idempotency or compensation. The
                                books are then expected to be wrong. May be given more than once.
          --timeline FILE       Writes what happened to one trip, as a page for a browser.
          --json                Prints one JSON object instead of a report.
          --help                Prints this.

        WHAT SURVIVES THE PROCESS:
          --database sqlite:FILE  Keeps everything in FILE and a second file beside it, and takes its time; without a
                                database the run is in memory and on virtual time. Needs 'swift run --traits SQLite'.
          --database postgresql://USER@HOST/NAME  Keeps everything in tables there. Needs 'swift run --traits PostgreSQL'.
          --crash               Runs two engines as processes of their own and kills them at random.
          --engine              Runs an engine only, beside a run on the same database, until it is interrupted. Give it
                                the same --trips, --faults and --without.
          --desk                Runs no engine: starts the trips, waits until those of other processes have run them, and
                                reads the books.

        EXIT STATUS: 0 the books are right, 1 they are not, 64 bad usage, 69 the database cannot be used, 70 the run was
        given up, 73 the timeline cannot be written.
        """
}
