// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Testing

@testable import DovetailResilience

@Suite("A rate limiter", .timeLimit(.minutes(10)))
struct RateLimiterTests {
    @Test("lets a burst pass, then refuses with the time to come back, and makes no call")
    func burst() async throws {
        let recorder = Recorder()
        try await Simulation(seed: 1, instrument: recorder).run {
            let limiter = RateLimiter(4, per: .seconds(2), burst: 3, name: "partner")
            let calls = Calls()
            for _ in 0..<3 { try await limiter.call { _ = calls.add() } }
            let error = await #expect(throws: RateLimitError.self) { try await limiter.call { _ = calls.add() } }
            #expect(calls.count == 3)
            #expect(error?.code == .waitTooLong)
            #expect(error?.retryAfter == .seconds(0.5))
            #expect(error?.description.contains("\"partner\"") == true)
            #expect(error?.description.contains("0.5 seconds") == true)
            try await time.sleep(for: .seconds(0.5))
            try await limiter.call { _ = calls.add() }
            await #expect(throws: RateLimitError.self) { try await limiter.call { _ = calls.add() } }
            try await time.sleep(for: .seconds(60))
            for _ in 0..<3 { try await limiter.call { _ = calls.add() } }
            await #expect(throws: RateLimitError.self) { try await limiter.call { _ = calls.add() } }
        }
        #expect(recorder.all(CallRateLimited.self).map(\.limiter) == ["partner", "partner", "partner"])
        #expect(recorder.all(CallHeldBack.self).isEmpty)
    }

    @Test("its refusal is by type one of a call that was not made, and may pass")
    func refusal() {
        let error: any Error = RateLimitError(.waitTooLong, limiter: "", retryAfter: nil)
        #expect(error is any CallNotAttempted)
        #expect(FailureClassifier().classify(error) == .transient)
    }

    @Test(
        "has a burst of all that the span allows unless told otherwise, and of one at least", arguments: [nil, 0, -4])
    func defaultBurst(burst: Int?) async throws {
        try await Simulation(seed: 1).run {
            let limiter = RateLimiter(5, per: .seconds(1), burst: burst)
            var passed = 0
            while (try? await limiter.acquire()) != nil { passed += 1 }
            #expect(passed == (burst == nil ? 5 : 1))
        }
    }

    @Test("lets those wait whose turn comes soon enough, first come first served", arguments: 0..<30)
    func firstComeFirstServed(seed: UInt64) async throws {
        let recorder = Recorder()
        try await Simulation(seed: seed, instrument: recorder).run {
            let limiter = RateLimiter(1, per: .seconds(1), longestWait: .seconds(6))
            let started = time.monotonic()
            let log = Log()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<9 {
                    group.addTask {
                        do {
                            try await limiter.call {
                                log.add("\(caller) at \((time.monotonic() - started).inSeconds)")
                            }
                        } catch let error as RateLimitError {
                            log.add("\(caller) refused until \(error.retryAfter?.inSeconds ?? 0)")
                        }
                    }
                    try await time.sleep(for: .milliseconds(1))
                }
                try await group.waitForAll()
            }
            #expect(
                log.all == [
                    "0 at 0.0", "7 refused until 6.993", "8 refused until 6.992", "1 at 1.0", "2 at 2.0", "3 at 3.0",
                    "4 at 4.0", "5 at 5.0", "6 at 6.0",
                ])
        }
        #expect(recorder.all(CallHeldBack.self).map(\.wait.inSeconds) == [0.999, 1.998, 2.997, 3.996, 4.995, 5.994])
    }

    @Test("lets one wait exactly as long as the longest wait, and not a nanosecond more")
    func longestWait() async throws {
        try await Simulation(seed: 1).run {
            let limiter = RateLimiter(1, per: .seconds(3), longestWait: .seconds(2))
            try await limiter.acquire()
            try await time.sleep(for: .seconds(1) - .nanoseconds(1))
            let error = await #expect(throws: RateLimitError.self) { try await limiter.acquire() }
            #expect(error?.retryAfter == .seconds(2) + .nanoseconds(1))
            try await time.sleep(for: .nanoseconds(1))
            try await limiter.acquire()
            #expect(time.monotonic().nanoseconds == 3_000_000_000)
        }
    }

    @Test("one who is cancelled leaves the line at once, and those behind move up", arguments: [1, 2, 4], 0..<10)
    func cancelled(caller cancelled: Int, seed: UInt64) async throws {
        try await Simulation(seed: seed).run {
            let limiter = RateLimiter(1, per: .seconds(10), longestWait: .seconds(1_000))
            let started = time.monotonic()
            let log = Log()
            await withTaskGroup(of: Void.self) { group in
                for caller in 0..<5 {
                    group.addTask {
                        await withTaskGroup(of: Void.self) { own in
                            own.addTask {
                                let outcome = await Outcome<Int> {
                                    try await limiter.call {
                                        log.add("\(caller) at \((time.monotonic() - started).inSeconds)")
                                        return 0
                                    }
                                }
                                guard outcome == .cancelled else { return }
                                log.add("\(caller) cancelled at \((time.monotonic() - started).inSeconds)")
                            }
                            guard caller == cancelled else { return }
                            try? await time.sleep(for: .seconds(4))
                            own.cancelAll()
                        }
                    }
                    try? await time.sleep(for: .nanoseconds(1))
                }
            }
            // The cancelled one came some nanoseconds after the first and left as much after the fourth second.
            let lines = log.all.map { $0.replacing("00000000\(cancelled)", with: "0") }
            let turns = zip((1...4).filter { $0 != cancelled }, [10.0, 20, 30]).map { "\($0) at \($1)" }
            let expected = ["0 at 0.0", "\(cancelled) cancelled at 4.0"] + turns
            #expect(lines == expected)
        }
    }

    @Test("nobody overtakes one in line whose turn comes in the very instant", arguments: 0..<20)
    func noOvertaking(seed: UInt64) async throws {
        try await Simulation(seed: seed).run {
            let limiter = RateLimiter(1, per: .seconds(1), longestWait: .seconds(60))
            let log = Log()
            try await limiter.acquire()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await limiter.call { log.add("first at \(time.monotonic().nanoseconds)") } }
                try await time.sleep(for: .milliseconds(1))
                group.addTask {
                    try await time.sleep(until: MonotonicInstant(nanoseconds: 1_000_000_000))
                    try await limiter.call { log.add("second at \(time.monotonic().nanoseconds)") }
                }
                try await group.waitForAll()
            }
            #expect(log.all == ["first at 1000000000", "second at 2000000000"])
        }
    }

    @Test("one who is cancelled when the turn is there already leaves it to the next")
    func cancelledWhenTheTurnIsThere() async throws {
        let (clock, executor) = (VirtualTime(), SimulationExecutor(order: .firstComeFirstServed))
        let limiter = RateLimiter(1, per: .seconds(1), burst: 3, longestWait: .seconds(60), time: clock)
        for _ in 0..<3 { try await limiter.acquire() }
        let inLine = (0..<2).map { _ in Task(executorPreference: executor) { try await limiter.acquire() } }
        executor.drain()
        // Late, so that the turns of both are there. The first takes his and wakes the second, who has not run yet.
        clock.advance(by: .seconds(10))
        executor.drain(atMost: 1)
        inLine[1].cancel()
        executor.drain()
        try await inLine[0].value
        await #expect(throws: CancellationError.self) { try await inLine[1].value }
        // Two turns are left, and the third who comes has to wait.
        let others = (0..<3).map { _ in Task(executorPreference: executor) { try await limiter.acquire() } }
        executor.drain()
        #expect(clock.sleepers == 1)
        for other in others { other.cancel() }
        executor.drain()
        for other in others { _ = await other.result }
    }

    @Test("a caller who is cancelled already takes no turn")
    func cancelledBefore() async throws {
        try await Simulation(seed: 1).run {
            let limiter = RateLimiter(1, per: .seconds(10))
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask {
                    let outcome = await Outcome { try await limiter.call { 1 } }
                    #expect(outcome == .cancelled)
                }
            }
            try await limiter.acquire()
        }
    }

    /// What happened to a caller.
    struct Visit: Sendable {
        let arrived: Int64
        let served: Int64
    }

    @Test("serves all in order as early as the rate allows, whoever leaves the line and when", arguments: 0..<100)
    func model(seed: UInt64) async throws {
        try await Simulation(seed: seed).run {
            let random = Runtime.current.random
            let (span, burst) = (Int64(1 + random.next() % 5) * 1_000_000_000, Int(1 + random.next() % 4))
            let limiter = RateLimiter(1, per: .nanoseconds(span), burst: burst, longestWait: .seconds(12))
            let visits = Kept<Visit>()
            let leaver = random.unit() / 2
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<60 {
                    let cancelled = random.chance(leaver) ? Duration.seconds(Int64(random.next() % 12)) : nil
                    group.addTask {
                        await withTaskGroup(of: Void.self) { own in
                            own.addTask {
                                let arrived = time.monotonic().nanoseconds
                                do {
                                    try await limiter.acquire()
                                } catch {
                                    if let error = error as? RateLimitError {
                                        #expect(error.retryAfter ?? .zero > .seconds(12))
                                    }
                                    return
                                }
                                let served = time.monotonic().nanoseconds
                                visits.add(Visit(arrived: arrived, served: served))
                            }
                            guard let cancelled else { return }
                            try? await time.sleep(for: cancelled)
                            own.cancelAll()
                        }
                    }
                    // Uneven on purpose, so that no two arrive in the same instant.
                    try? await time.sleep(for: .nanoseconds(1 + Int64(random.next() % 3_000_000_000)))
                }
            }
            // The order in which turns were taken; two in one instant are told by the order of arrival.
            let served = visits.all.sorted { ($0.served, $0.arrived) < ($1.served, $1.arrived) }
            #expect(served.map(\.arrived) == served.map(\.arrived).sorted())
            var schedule = CellSchedule(1, per: span, burst: Int64(burst))
            for visit in served {
                let earliest = max(visit.arrived, schedule.earliest(behind: 0))
                #expect(visit.served == earliest)
                #expect(visit.served - visit.arrived <= 12_000_000_000)
                let fits = schedule.take(at: visit.served)
                #expect(fits)
            }
        }
    }

    @Test("a retry around it comes back when its turn is")
    func retried() async throws {
        try await Simulation(seed: 1).run {
            let limiter = RateLimiter(1, per: .seconds(30))
            let guarded = Guarded(by: .retry(.constant(.seconds(1), attempts: 2)), limiter)
            for _ in 0..<3 { try await guarded.call {} }
            #expect(time.monotonic().nanoseconds == 60_000_000_000)
        }
    }

    @Test("no turn is lost or used twice when many threads come, wait and leave")
    func manyThreads() async throws {
        let clock = VirtualTime()
        let limiter = RateLimiter(1_000, per: .seconds(1), burst: 5, longestWait: .seconds(10), time: clock)
        let (served, ended) = (Calls(), Calls())
        await withTaskGroup(of: Void.self) { group in
            for caller in 0..<400 {
                group.addTask { @concurrent in
                    await withTaskGroup(of: Void.self) { own in
                        own.addTask { if (try? await limiter.acquire()) != nil { served.add() } }
                        if caller % 3 == 0 { own.cancelAll() }
                    }
                    ended.add()
                }
            }
            while ended.count < 400 {
                clock.advance(by: .milliseconds(1))
                await Task.yield()
            }
        }
        // Two thirds were not cancelled; all of those had their turn, at no higher rate.
        #expect(served.count >= 266)
        #expect(served.count <= 5 + Int(clock.monotonic().nanoseconds / 1_000_000))
        // Nobody stands in line, so that a turn is there at once.
        clock.advance(by: .seconds(1))
        for _ in 0..<5 { try await limiter.acquire() }
    }
}

@Suite("The schedule of a rate")
struct CellScheduleTests {
    @Test("lets pass exactly what fits the burst and the rate over every span", arguments: 0..<40)
    func everySpan(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let (interval, burst) = (Int64(1 + random.next() % 9), Int64(1 + random.next() % 5))
        var schedule = CellSchedule(1, per: interval, burst: burst)
        var passed: [Int64] = []
        var now: Int64 = 0
        for _ in 0..<300 {
            now += Int64(random.next() % UInt64(interval + 2))
            let fits = passed.indices.allSatisfy { first in
                Int64(passed.count - first + 1) <= burst + (now - passed[first]) / interval
            }
            let isTaken = schedule.take(at: now)
            #expect(isTaken == fits)
            if fits { passed.append(now) }
        }
    }

    @Test("never goes faster than the rate by rounding")
    func rounding() {
        #expect(CellSchedule(3, per: 1_000_000_000, burst: 1).interval == 333_333_334)
        #expect(CellSchedule(4, per: 1_000_000_000, burst: 1).interval == 250_000_000)
        #expect(CellSchedule(.max, per: 1, burst: 1).interval == 1)
    }

    @Test("lets no more pass than the burst, also if that takes longer to come back than the clock runs")
    func burstBeyondTheClock() {
        let century: Int64 = 100 * 365 * 86_400 * 1_000_000_000
        for burst in [10, .max] as [Int64] {
            var schedule = CellSchedule(1, per: century, burst: burst)
            let passed = (0..<100).count { _ in schedule.take(at: 0) }
            #expect((1...10).contains(passed))
        }
    }

    @Test("takes numbers of any size", arguments: [Int64.min, -1, 0, 1, .max])
    func oddValues(number: Int64) async throws {
        for burst in [Int64.min, 0, .max] {
            var schedule = CellSchedule(1, per: number, burst: burst)
            for now in [Int64.min, 0, .max, .max] { _ = schedule.take(at: now) }
            _ = schedule.earliest(behind: .max)
        }
        let limiter = RateLimiter(
            Int(number), per: .nanoseconds(number), burst: Int(number), longestWait: .nanoseconds(number),
            time: VirtualTime())
        try await limiter.acquire()
    }
}
