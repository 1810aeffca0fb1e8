// SPDX-License-Identifier: Apache-2.0

import DovetailCore
public import DovetailSimulation
public import Testing

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

extension GameDay {
    /// Runs the day with the seeds from 0, and fails the test with the story of the smallest run that fails.
    ///
    /// The story is a comment of the issue and an attachment of the test. With `DOVETAIL_REPLAY` in the environment, only that run
    /// is made; with `DOVETAIL_SEED`, only that seed; with `DOVETAIL_SEEDS`, as many seeds as it says.
    ///
    /// ```swift
    /// @Test func survivesABadDay() async throws { try await checkout.check(seeds: 200) }
    /// ```
    ///
    /// - Parameters:
    ///   - seeds: How many.
    ///   - limit: How long to look for a smaller run that fails.
    ///   - sourceLocation: Where to record the issue.
    /// - Returns: How it went.
    /// - Throws: ``SimulationError`` if the environment holds a replay line that is none.
    @discardableResult
    public func check(
        seeds: Int, shrinkingFor limit: Duration = .seconds(20), sourceLocation: SourceLocation = #_sourceLocation
    ) async throws -> GameDayReport {
        let report: GameDayReport
        if let line = Self.environment(Replay.variable) {
            guard let replay = Replay(line) else {
                throw SimulationError(
                    .notRunning, "'\(line)' in \(Replay.variable) is no replay line. Copy it from the end of a story.",
                    seed: 0)
            }
            report = await run(replaying: replay)
        } else {
            let count = Self.environment("DOVETAIL_SEEDS").flatMap { UInt64($0) } ?? UInt64(max(0, seeds))
            report = await run(seeds: SeedSelection.seeds(0..<count), shrinkingFor: limit)
        }
        if let failure = report.failure {
            Attachment.record(failure.story, named: "story-of-seed-\(failure.seed).txt", sourceLocation: sourceLocation)
            Issue.record(Comment(rawValue: failure.story), sourceLocation: sourceLocation)
        }
        return report
    }

    private static func environment(_ name: String) -> String? {
        // Read before tests run, which set no variables.
        getenv(name).map { String(cString: $0) }
    }
}
