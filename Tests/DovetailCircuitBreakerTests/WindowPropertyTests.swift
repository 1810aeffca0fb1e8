// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@testable import DovetailCircuitBreaker

/// Windows against a recount of all calls, over random histories.
///
/// The seed is the argument of the case that fails.
@Suite("Windows of calls agree with a recount")
struct WindowPropertyTests {
    private func randomCall(_ random: SeededRandom) -> CountedCall {
        CountedCall(isFailure: random.chance(0.3), isSlow: random.chance(0.2))
    }

    private func recount(_ calls: some Sequence<CountedCall>) -> CallCounts {
        var counts = CallCounts()
        for call in calls { counts.add(call) }
        return counts
    }

    @Test("4: a count window", arguments: 0..<60)
    func countWindow(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let size = seed < 20 ? Int(seed) + 1 : 1 + Int(random.next() % 300)
        var window = ResultWindow(.count(size))
        var history: [CountedCall] = []
        for step in 0..<600 {
            if random.chance(0.3) {
                let count = Int(random.next() % UInt64(random.chance(0.1) ? 2 * size + 2 : 70))
                window.add(plain: count)
                history += Array(repeating: CountedCall(), count: count)
            } else {
                let call = randomCall(random)
                let expected = window.counts(adding: call)
                window.add(call)
                history.append(call)
                #expect(window.counts == expected, "step \(step)")
            }
            #expect(window.counts == recount(history.suffix(size)), "step \(step) of size \(size)")
            guard case .count(let ring) = window else { continue }
            if step % 50 == 0 {
                #expect(ring.calls == Array(history.suffix(size)))
                let other = 1 + Int(random.next() % 300)
                #expect(ring.resized(to: other).calls == Array(history.suffix(min(size, other))))
            }
        }
    }

    @Test("5: a window of time", arguments: 0..<60)
    func timeWindow(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let buckets = 1 + Int(random.next() % 12)
        let width = Int64(1 + random.next() % 1000)
        var window = ResultWindow(.time(.nanoseconds(width * Int64(buckets)), buckets: buckets))
        var history: [(bucket: Int64, call: CountedCall)] = []
        var now = Int64(random.next() % 1_000_000) - 500_000
        var latest = Int64.min
        for step in 0..<600 {
            let hop = random.chance(0.05) ? width * Int64(buckets) * 2 : random.chance(0.2) ? width : max(1, width / 7)
            now += Int64(random.next() % UInt64(hop + 1)) - (random.chance(0.1) ? hop / 2 : 0)
            // A call that seems to come before the newest bucket belongs to that.
            latest = max(latest, Int64((Double(now) / Double(width)).rounded(.down)))
            let call = randomCall(random)
            let count = random.chance(0.2) ? Int(random.next() % 5) : 0
            window.advance(to: MonotonicInstant(nanoseconds: now))
            window.add(call)
            window.add(plain: count)
            history.append((latest, call))
            for _ in 0..<count { history.append((latest, CountedCall())) }
            let counted = history.filter { $0.bucket > latest - Int64(buckets) }.map(\.call)
            #expect(window.counts == recount(counted), "step \(step)")
            #expect(window.end == MonotonicInstant(nanoseconds: (latest + 1) * width))
        }
    }

    @Test("at the ends of the clock", arguments: [1, 3, 1 << 62, Int64.max])
    func extremes(span: Int64) {
        var window = TimeWindow(span: .nanoseconds(span), buckets: 1)
        for now in [Int64.min, Int64.min + 1, -1, 0, 1, Int64.max - 1, Int64.max] {
            window.advance(to: MonotonicInstant(nanoseconds: now))
            window.add(CountedCall(isFailure: true))
            #expect(window.counts.failures >= 1)
            #expect(window.end.nanoseconds < .max)
        }
    }
}
