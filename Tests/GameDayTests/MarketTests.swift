// SPDX-License-Identifier: Apache-2.0

import DovetailSimulation
import DovetailTesting
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

    @Test("On a day on which nothing goes wrong, nothing is repeated either")
    func aGoodDay() async throws {
        let report = try await Market.day(faults: .none).check(seeds: 5)
        #expect(report.reach.faults.isEmpty)
        #expect(report.reach.states.keys.contains { $0.hasSuffix("saga.ended") })
    }
}
