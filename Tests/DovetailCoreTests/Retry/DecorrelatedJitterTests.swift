// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite("Decorrelated jitter")
struct DecorrelatedJitterTests {
    /// Draws the same number each time.
    struct Always: RandomSource {
        let number: Double
        func next() -> UInt64 { UInt64(number * 0x1p53) << 11 }
    }

    @Test("draws each wait between the base and three times the wait before")
    func chain() {
        let policy: DecorrelatedJitter = .decorrelated(from: .seconds(4), upTo: .seconds(1_000), attempts: 9)
        // In the middle of 4 and 3 * 4, of 4 and 3 * 8, of 4 and 3 * 14.
        let waits = (1...3).map { policy.delay(after: $0, random: Always(number: 0.5)) }
        #expect(waits == [.seconds(8), .seconds(14), .seconds(23)])
        #expect((1...9).allSatisfy { policy.delay(after: $0, random: Always(number: 0)) == .seconds(4) })
        #expect(policy.attempts == 9)
    }

    @Test("spreads the waits evenly over the range")
    func distribution() {
        let random = SeededRandom(seed: 1)
        let policy = DecorrelatedJitter(from: .seconds(1), upTo: .seconds(1_000), attempts: 9)
        for (attempt, mean) in [(1, 2.0), (2, 3.5), (3, 5.75)] {
            let waits = (0..<20_000).map { _ in policy.delay(after: attempt, random: random).inSeconds }
            #expect(abs(waits.reduce(0, +) / 20_000 - mean) < mean * 0.02)
            #expect(waits.allSatisfy { $0 >= 1 })
            #expect((waits.min() ?? 0) < 1.1)
        }
    }

    @Test("never waits longer than the cap, and gets there")
    func cap() {
        let random = SeededRandom(seed: 2)
        let policy = DecorrelatedJitter(from: .milliseconds(100), upTo: .seconds(60), attempts: .max)
        for attempt in [1, 5, 50, 1_000, Int.max] {
            let waits = (0..<200).map { _ in policy.delay(after: attempt, random: random) }
            #expect(waits.allSatisfy { $0 >= .milliseconds(100) && $0 <= .seconds(60) })
            if attempt >= 50 { #expect(waits.contains(.seconds(60))) }
        }
    }

    @Test(
        "takes values that make no sense",
        arguments: [
            DecorrelatedJitter(from: .seconds(Int64.max), upTo: .seconds(Int64.max), attempts: .max),
            DecorrelatedJitter(from: .seconds(9), upTo: .seconds(3), attempts: 2),
            DecorrelatedJitter(from: .seconds(-5), upTo: .seconds(-1), attempts: -3),
            DecorrelatedJitter(from: .zero, attempts: 5),
        ]
    )
    func oddValues(policy: DecorrelatedJitter) {
        for attempt in [1, 2, 1000, Int.max, 0, -1] {
            let wait = policy.delay(after: attempt, random: SystemRandom())
            #expect(wait >= .zero)
            #expect(wait <= max(.zero, policy.cap))
        }
    }
}
