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
    /// The file of the database; in memory and on virtual time if `nil`.
    var file: String?
    var crash = false
    var timeline: String?
    var json = false
    var help = false
    /// Runs as an engine of another process.
    var isEngine = false

    var isFenced: Bool { !without.contains(.fencing) }
    var isIdempotent: Bool { !without.contains(.idempotency) }
    var compensates: Bool { !without.contains(.compensation) }

    /// After what time engines take over from each other.
    var lease: Duration { file == nil ? .seconds(10) : .milliseconds(1500) }
    /// How long a trip waits for its driver, and for stars.
    var patience: Duration { file == nil ? .seconds(120) : .seconds(3) }

    /// Whether the engine that runs a trip first is cut off in the middle of it, and its passenger cancels meanwhile.
    func stalls(_ trip: Int) -> Bool { trip % 41 == 0 }

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
            case "--database":
                let text = try reader.value()
                guard text.hasPrefix("sqlite:"), text.count > 7 else {
                    throw UsageError("--database takes sqlite:FILE, not '\(text)'.")
                }
                file = String(text.dropFirst(7))
            case "--timeline": timeline = try reader.value()
            case "--crash": crash = try reader.flag()
            case "--engine": isEngine = try reader.flag()
            case "--json": json = try reader.flag()
            case "--help", "-h": help = try reader.flag()
            default: throw reader.unknownOption
            }
        }
        if crash || isEngine, file == nil { throw UsageError("--crash needs --database sqlite:FILE.") }
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
          --database sqlite:FILE  Keeps everything in a file, and takes its time; without it the run is in memory and on
                                virtual time. Needs the trait SQLite.
          --crash               Runs two engines as processes of their own and kills them at random.
          --timeline FILE       Writes what happened to one trip, as a page.
          --json                Prints one JSON object instead of a report.
          --help                Prints this.

        EXIT STATUS: 0 the books are right, 1 they are not, 64 bad usage, 69 the database cannot be used.
        """
}
