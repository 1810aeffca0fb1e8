// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// How a ``GameDay`` went.
public struct GameDayReport: Sendable, CustomStringConvertible {
    /// The name of the day.
    public let name: String

    /// How many seeds were run.
    public private(set) var seeds = 0

    /// How many jobs the runs took in all.
    public private(set) var jobs = 0

    /// How long the runs took by the machine's clock, without the search for a smaller one that fails.
    public internal(set) var elapsed: Duration = .zero

    /// What the runs reached.
    public private(set) var reach = Reach()

    /// The run that failed; `nil` if none did.
    public internal(set) var failure: GameDayFailure?

    init(name: String) {
        self.name = name
    }

    mutating func add(_ outcome: GameDayOutcome) {
        seeds += 1
        jobs += outcome.jobs
        reach.add(outcome)
    }

    /// The figures, and the story if a run failed.
    public var description: String {
        let perMinute = elapsed > .zero ? Int(Double(seeds) / elapsed.inSeconds * 60) : 0
        let figures = "\(name): \(seeds) seeds, \(jobs) jobs, \(perMinute) seeds a minute. \(reach.summary)"
        return failure.map { "\(figures)\n\($0.story)" } ?? figures
    }
}

/// A run of a ``GameDay`` that failed, the smallest one that was found.
public struct GameDayFailure: Sendable {
    /// What failed.
    public let error: SimulationError

    /// The first seed that failed.
    public let seed: UInt64

    /// The faults of the smallest run, in the order in which they happened.
    public let faults: [Fault]

    /// Says how to run it again.
    public let replay: Replay

    /// How many runs it took to find it, the first one included.
    public let runs: Int

    /// What happened in the smallest run.
    public let trace: Trace

    /// What happened, in less than thirty lines for a person to read, with a line to replay it at the end.
    public let story: String

    init(_ outcome: GameDayOutcome, _ error: SimulationError, day: String, firstSeed: UInt64, runs: Int) {
        self.error = error
        seed = firstSeed
        faults = outcome.faults
        replay = outcome.replay
        self.runs = runs
        trace = outcome.trace
        story =
            Story(
                day: day, error: error, faults: outcome.faults, seed: firstSeed, runs: runs, replay: outcome.replay,
                entries: outcome.trace.entries
            ).text
    }
}
