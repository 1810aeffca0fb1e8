// SPDX-License-Identifier: Apache-2.0

import Dovetail

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
            case "--trips":
                let text = try value()
                guard let number = Int(text), (1...1_000_000).contains(number) else {
                    throw UsageError(message: "--trips takes a whole number from 1, not '\(text)'.")
                }
                trips = number
            case "--seed":
                let text = try value()
                guard let number = UInt64(text) else {
                    throw UsageError(message: "--seed takes a whole number from 0, not '\(text)'.")
                }
                seed = number
            case "--faults":
                let text = try value()
                guard let share = Double(text), (0...0.9).contains(share) else {
                    throw UsageError(message: "--faults takes a number from 0 to 0.9, not '\(text)'.")
                }
                faults = share
            case "--without":
                for name in try value().split(separator: ",") {
                    guard let protection = Protection(rawValue: String(name)) else {
                        throw UsageError(
                            message: "--without takes fencing, idempotency or compensation, not '\(name)'.")
                    }
                    without.insert(protection)
                }
            case "--database":
                let text = try value()
                guard text.hasPrefix("sqlite:"), text.count > 7 else {
                    throw UsageError(message: "--database takes sqlite:FILE, not '\(text)'.")
                }
                file = String(text.dropFirst(7))
            case "--timeline": timeline = try value()
            case "--crash", "--json", "--help", "-h", "--engine":
                if attached != nil { throw UsageError(message: "\(name) takes no value.") }
                switch name {
                case "--crash": crash = true
                case "--json": json = true
                case "--engine": isEngine = true
                default: help = true
                }
            default: throw UsageError(message: "There is no option '\(argument)'.")
            }
        }
        if crash || isEngine, file == nil { throw UsageError(message: "--crash needs --database sqlite:FILE.") }
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
