// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@testable import DovetailBulkhead

@Suite("Limit algorithms", .timeLimit(.minutes(10)))
struct LimitAlgorithmTests {
    private let random = SeededRandom(seed: 1)

    private func sample(_ milliseconds: Int, _ inFlight: Int, dropped: Bool = false) -> LimitSample {
        LimitSample(elapsed: .milliseconds(milliseconds), inFlight: inFlight, wasDropped: dropped)
    }

    private func limit(after samples: [LimitSample], of algorithm: some LimitAlgorithm) -> Int {
        var algorithm = algorithm
        for sample in samples { algorithm.update(sample, random: random) }
        return algorithm.limit
    }

    @Test("50: no algorithm grows while fewer calls are under way than half the limit")
    func hardlyUsed() {
        let few = Array(repeating: sample(10, 9), count: 1000)
        #expect(limit(after: few, of: AIMDLimit(initial: 20)) == 20)
        #expect(limit(after: few, of: VegasLimit(initial: 20)) == 20)
        #expect(limit(after: few, of: GradientLimit(initial: 20, within: 1...200)) == 20)
        let enough = Array(repeating: sample(10, 10), count: 3)
        #expect(limit(after: enough, of: AIMDLimit(initial: 20)) == 21)
        #expect(limit(after: enough, of: VegasLimit(initial: 20)) > 20)
        #expect(limit(after: enough, of: GradientLimit(initial: 20, within: 1...200, smoothing: 1)) > 20)
    }

    @Test("50: a limit of one is not stuck at one")
    func growsFromOne() {
        let alone = Array(repeating: sample(10, 1), count: 100)
        #expect(limit(after: alone, of: AIMDLimit(initial: 1)) > 1)
        #expect(limit(after: alone, of: VegasLimit(initial: 1)) > 1)
        #expect(limit(after: alone, of: GradientLimit(initial: 1, within: 1...200)) > 1)
    }

    @Test("50: additive increase, a tenth less for a call that was dropped or timed out")
    func aimd() {
        #expect(limit(after: [sample(10, 20)], of: AIMDLimit(initial: 20)) == 21)
        #expect(limit(after: [sample(10, 20, dropped: true)], of: AIMDLimit(initial: 20)) == 18)
        #expect(limit(after: [sample(5001, 20)], of: AIMDLimit(initial: 20)) == 18)
        #expect(limit(after: [sample(5000, 20)], of: AIMDLimit(initial: 20)) == 21)
        // Also when few are under way: what was dropped was dropped.
        #expect(limit(after: [sample(10, 1, dropped: true)], of: AIMDLimit(initial: 20)) == 18)
    }

    @Test("50: every limit stays within its bounds, and none goes below one")
    func bounds() {
        let drops = Array(repeating: sample(10, 20, dropped: true), count: 500)
        let quick = Array(repeating: sample(10, 1000), count: 2000)
        #expect(limit(after: drops, of: AIMDLimit(within: 5...50)) == 5)
        #expect(limit(after: quick, of: AIMDLimit(within: 5...50)) == 50)
        #expect(limit(after: drops, of: VegasLimit(within: 5...50)) == 5)
        #expect(limit(after: quick, of: VegasLimit(within: 5...50)) == 50)
        #expect(limit(after: drops, of: GradientLimit(within: 5...50)) == 5)
        #expect(limit(after: quick, of: GradientLimit(within: 5...50)) == 50)
        #expect(limit(after: drops, of: AIMDLimit(within: -10...0)) == 1)
        #expect(AIMDLimit(initial: 1000, within: 5...50).limit == 50)
    }

    @Test("50: Vegas grows while few wait, holds in between, and shrinks when many do")
    func vegas() {
        // The first sample is the shortest time; of 100 calls, 1 - 10/time of them then wait.
        let start = sample(100, 100)
        let algorithm = VegasLimit(initial: 100, within: 1...1000)
        #expect(limit(after: [start, sample(100, 100)], of: algorithm) == 112)
        #expect(limit(after: [start, sample(104, 100)], of: algorithm) == 102)
        #expect(limit(after: [start, sample(109, 100)], of: algorithm) == 100)
        #expect(limit(after: [start, sample(120, 100)], of: algorithm) == 98)
        #expect(limit(after: [start, sample(10, 1, dropped: true)], of: algorithm) == 98)
    }

    @Test("50: Vegas takes its shortest time anew after a random number of calls")
    func vegasProbes() {
        func callsUntilProbe(_ random: SeededRandom) -> Int {
            var algorithm = VegasLimit(initial: 20, within: 20...20)
            algorithm.update(sample(10, 1), random: random)
            var calls = 0
            while algorithm.noLoadTime == .milliseconds(10), calls < 2000 {
                algorithm.update(sample(50, 1), random: random)
                calls += 1
            }
            #expect(algorithm.noLoadTime == .milliseconds(50))
            return calls
        }
        let counts = (0..<20).map { callsUntilProbe(SeededRandom(seed: $0)) }
        #expect(counts.allSatisfy { (300...600).contains($0) })
        #expect(Set(counts).count > 5)
    }

    @Test("50: the gradient is between a half and one, however much longer or shorter calls take")
    func gradient() {
        let algorithm = GradientLimit(initial: 100, within: 1...1000, queue: 4, smoothing: 1)
        let steady = Array(repeating: sample(100, 100), count: 50)
        var settled = algorithm
        for sample in steady.prefix(1) { settled.update(sample, random: random) }
        #expect(settled.limit == 104)
        // Within the tolerance, and far shorter: as much as before and room for a queue.
        #expect(limit(after: [sample(120, 104)], of: settled) == 108)
        #expect(limit(after: [sample(1, 104)], of: settled) == 108)
        // A hundred times longer: half, and no room for a queue.
        var known = algorithm
        for _ in 0..<50 { known.update(sample(100, 1), random: random) }
        #expect(limit(after: [sample(10_000, 100)], of: known) == 50)
        #expect(limit(after: [sample(100, 1, dropped: true)], of: known) == 90)
    }

    @Test("50: after an overload the long time comes down again")
    func gradientRecovers() {
        var algorithm = GradientLimit(initial: 50, within: 10...100)
        for _ in 0..<600 { algorithm.update(sample(1000, 50), random: random) }
        for _ in 0..<200 { algorithm.update(sample(10, 50), random: random) }
        // Had it stayed at a second, calls of 100 milliseconds would still pass for quick.
        let before = algorithm.limit
        for _ in 0..<3 { algorithm.update(sample(100, 100), random: random) }
        #expect(algorithm.limit < before)
    }

    @Test("50: a window takes a percentile, and leaves out a run with too few calls that were not dropped")
    func window() {
        let window = WindowedLimit(
            AIMDLimit(initial: 20, timeout: .milliseconds(100)), calls: 10, minimum: 5, percentile: 0.9)
        let oneSlow = Array(repeating: sample(10, 20), count: 9) + [sample(1000, 20)]
        #expect(limit(after: oneSlow, of: window) == 21)
        let twoSlow = Array(repeating: sample(10, 20), count: 8) + Array(repeating: sample(1000, 20), count: 2)
        #expect(limit(after: twoSlow, of: window) == 18)
        // Not a whole window yet.
        #expect(limit(after: Array(repeating: sample(10, 20), count: 9), of: window) == 20)
        #expect(
            limit(after: [sample(10, 20, dropped: true)] + Array(repeating: sample(10, 20), count: 9), of: window) == 18
        )
        let strict = WindowedLimit(AIMDLimit(initial: 20), calls: 5, minimum: 6)
        #expect(limit(after: Array(repeating: sample(10, 20), count: 50), of: strict) == 20)
    }
}
