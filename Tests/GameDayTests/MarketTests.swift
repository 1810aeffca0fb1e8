// SPDX-License-Identifier: Apache-2.0

import DovetailSimulation
import DovetailTesting
import Foundation
import Testing

/// Every room of the library through bad days.
///
/// `DOVETAIL_SEEDS=100000` is the long form.
@Suite(.timeLimit(.minutes(600)))
struct MarketTests {
    @Test("Whatever goes wrong, no order of the market is lost, done twice, or out of order")
    func survivesBadDays() async throws {
        let report = try await Market.day().check(seeds: 60)
        print(report)
    }

    /// How often each of a few seeds is run: `DOVETAIL_REPEATS=1000` is the long form.
    private static let repeats = ProcessInfo.processInfo.environment["DOVETAIL_REPEATS"].flatMap { Int($0) } ?? 3

    @Test("The same seed has the same trace, to the last byte", arguments: [1, 2] as [UInt64])
    func sameTrace(seed: UInt64) async throws {
        let first = await Market.day().trace(of: Replay(seed: seed)).lines()
        #expect(first.count > 100)
        for _ in 1..<Self.repeats {
            let again = await Market.day().trace(of: Replay(seed: seed)).lines()
            #expect(again == first)
        }
    }

    @Test("On a day on which nothing goes wrong, nothing is repeated either")
    func aGoodDay() async throws {
        let report = try await Market.day(faults: .none).check(seeds: 5)
        #expect(report.reach.faults.isEmpty)
        #expect(report.reach.states.keys.contains { $0.hasSuffix("saga.ended") })
    }
}
