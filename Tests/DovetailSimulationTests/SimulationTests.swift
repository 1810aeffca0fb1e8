// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Testing

@Suite(.timeLimit(.minutes(10))) struct SimulationTests {
    // MARK: Determinism

    @Test("The same seed gives the same run: tasks, groups, async let, actors, streams, continuations and sleeps")
    func sameSeedSameRun() async throws {
        for seed in 0..<20 as Range<UInt64> {
            let first = try await Workload.trace(seed: seed)
            let second = try await Workload.trace(seed: seed)
            #expect(first == second)
            #expect(first.lines.count > 250)
        }
    }

    @Test("Different seeds give different runs")
    func differentSeedsDiffer() async throws {
        var runs: Set<[String]> = []
        for seed in 0..<20 as Range<UInt64> { runs.insert(try await Workload.trace(seed: seed).lines) }
        #expect(runs.count == 20)
    }

    @Test("Different seeds interleave the same tasks differently, the same seed in the same way")
    func interleavings() async throws {
        func interleaving(_ seed: UInt64) async throws -> [String] {
            let trace = Trace()
            try await Simulation(seed: seed).run {
                await withTaskGroup(of: Void.self) { group in
                    for task in 0..<5 {
                        group.addTask {
                            for step in 0..<5 {
                                trace.add("\(task).\(step)")
                                await Task.yield()
                            }
                        }
                    }
                }
            }
            return trace.lines
        }
        var seen: Set<[String]> = []
        for seed in 0..<100 as Range<UInt64> {
            let first = try await interleaving(seed)
            #expect(try await interleaving(seed) == first)
            seen.insert(first)
        }
        #expect(seen.count == 100)
    }

    @Test("In the order first come first served, every seed gives the same order")
    func firstComeFirstServed() async throws {
        let lines = try await (0..<5 as Range<UInt64>).asyncMap { seed in
            let order = Trace()
            try await Simulation(seed: seed, order: .firstComeFirstServed).run {
                await withTaskGroup(of: Void.self) { group in
                    for index in 0..<2000 { group.addTask { order.add("\(index)") } }
                }
            }
            return order.lines
        }
        #expect(Set(lines).count == 1)
        #expect(lines[0] == (0..<2000).map(String.init))
    }

    @Test("Random numbers and identifiers come from the seed")
    func chanceComesFromTheSeed() async throws {
        func draw(_ seed: UInt64) async throws -> [String] {
            try await Simulation(seed: seed).run {
                ["\(Runtime.current.random.next())", "\(Runtime.current.makeMessageID())"]
            }
        }
        let first = try await draw(1)
        let again = try await draw(1)
        let other = try await draw(2)
        #expect(first == again)
        #expect(first[0] != other[0] && first[1] != other[1])
    }

    // MARK: Time

    @Test("Sleeping takes virtual time only, and sleepers wake in the order of their deadlines")
    func sleepIsVirtual() async throws {
        let simulation = Simulation(seed: 3)
        let order = Trace()
        let started = ContinuousClock.now
        try await simulation.run {
            await withThrowingTaskGroup(of: Void.self) { group in
                for hours in [5, 1, 4, 2, 3] {
                    group.addTask {
                        try await Runtime.current.time.sleep(for: .seconds(hours * 3600))
                        order.add("\(hours)h at \(Runtime.current.time.now())")
                    }
                }
            }
        }
        #expect(order.lines == (1...5).map { "\($0)h at 2026-01-01T0\($0):00:00Z" })
        #expect(simulation.time.monotonic().nanoseconds == 5 * 3600 * 1_000_000_000)
        #expect(ContinuousClock.now - started < .seconds(30))
    }

    @Test("A cancelled sleep ends at once, and its time does not pass")
    func cancelledSleep() async throws {
        let simulation = Simulation(seed: 4)
        let wasCancelled = try await simulation.run {
            try await withThrowingTaskGroup(of: Bool.self) { group in
                group.addTask {
                    do {
                        try await Runtime.current.time.sleep(for: .seconds(3600))
                        return false
                    } catch is CancellationError {
                        return true
                    }
                }
                try await Runtime.current.time.sleep(for: .seconds(1))
                group.cancelAll()
                return try await group.next() ?? false
            }
        }
        #expect(wasCancelled)
        #expect(simulation.time.monotonic() == MonotonicInstant(nanoseconds: 1_000_000_000))
        #expect(simulation.time.sleepers == 0)
    }

    @Test("Advancing lets everything that is due come to rest, up to and including the instant")
    func advanceBringsToRest() async throws {
        let ticks = Trace()
        let simulation = Simulation(seed: 5)
        let counts = try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while true {
                        try await Runtime.current.time.sleep(for: .seconds(1))
                        await Task.yield()
                        ticks.add("tick")
                    }
                }
                var counts: [Int] = []
                for seconds in [0, 1, 10] {
                    try await simulation.advance(by: .seconds(seconds))
                    counts.append(ticks.lines.count)
                }
                group.cancelAll()
                return counts
            }
        }
        #expect(counts == [0, 1, 11])
        #expect(simulation.time.now() == VirtualTime.defaultStart + .seconds(11))
    }

    // MARK: Ends

    @Test("A body that waits for what nothing will do fails as stalled, names what is in flight, and does not hang")
    func stalled() async throws {
        let simulation = Simulation(seed: 6, limits: .init(outsideGrace: .milliseconds(10)))
        simulation.watch { ["an order that nobody takes"] }
        let error = await #expect(throws: SimulationError.self) {
            try await simulation.run { try await simulation.untilQuiet() }
        }
        #expect(error?.code == .stalled)
        #expect(error?.inFlight == ["an order that nobody takes"])
        #expect(error?.description.contains("seed 6, with SWIFT_DETERMINISTIC_HASHING=1") == true)
    }

    @Test("A body that cannot be cancelled either is abandoned")
    func abandoned() async throws {
        let error = await #expect(throws: SimulationError.self) {
            try await Simulation(seed: 7, limits: .init(outsideGrace: .milliseconds(10))).run {
                await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in }
            }
        }
        #expect(error?.code == .stalled)
    }

    @Test("An abandoned body that another thread resumes later harms nobody")
    func resumedAfterTheEnd() async throws {
        let waiting = Box<CheckedContinuation<Void, Never>?>(nil)
        weak var executor: SimulationExecutor?
        await #expect(throws: SimulationError.self) {
            let simulation = Simulation(seed: 7, limits: .init(outsideGrace: .milliseconds(10)))
            executor = simulation.executor
            try await simulation.run { await withCheckedContinuation { waiting.value = $0 } }
        }
        // The body would run on an executor that nobody drains any more, so it must still be there to take the job.
        #expect(executor != nil)
        waiting.value?.resume()
    }

    @Test("Work without end reaches a limit: of jobs, or of virtual time")
    func limits() async throws {
        let busy = await #expect(throws: SimulationError.self) {
            try await Simulation(seed: 8, limits: .init(jobs: 10_000)).run {
                while !Task.isCancelled { try await Runtime.current.time.sleep(for: .zero) }
            }
        }
        #expect(busy?.code == .limitReached)
        #expect(busy?.message.contains("10000 jobs") == true)
        let long = await #expect(throws: SimulationError.self) {
            try await Simulation(seed: 8, limits: .init(time: .seconds(60))).run {
                while !Task.isCancelled { try await Runtime.current.time.sleep(for: .seconds(1)) }
            }
        }
        #expect(long?.code == .limitReached)
        #expect(long?.message.contains("virtual time") == true)
    }

    @Test("What the body throws is the cause of an error that names the seed")
    func bodyFailure() async throws {
        struct Broken: Error {}
        let error = await #expect(throws: SimulationError.self) {
            try await Simulation(seed: 99).run { throw Broken() }
        }
        #expect(error?.code == .bodyFailed)
        #expect(error?.cause is Broken)
        #expect(error?.seed == 99)
    }

    @Test("Cancelling the caller cancels the body")
    func cancellation() async throws {
        let started = WakeUp()
        await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await Simulation(seed: 9).run {
                    started.notify()
                    while !Task.isCancelled { await Task.yield() }
                    try Task.checkCancellation()
                }
            }
            group.addTask { try await started.wait(atMost: .seconds(30), time: SystemTime()) }
            // The wait is over first, whatever the body does.
            _ = await group.nextResult()
            group.cancelAll()
            let outcome = await group.nextResult()
            #expect(throws: CancellationError.self) { try outcome?.get() }
        }
    }

    @Test("A cancelled caller still waits for a body that another thread brings to its end")
    func cancelledWhileOutside() async throws {
        let waiting = Box<CheckedContinuation<Void, Never>?>(nil)
        let started = WakeUp()
        try await withThrowingTaskGroup(of: Int.self) { group in
            group.addTask {
                try await Simulation(seed: 9, limits: .init(outsideGrace: .seconds(600))).run {
                    await withCheckedContinuation { continuation in
                        waiting.value = continuation
                        started.notify()
                    }
                    return 42
                }
            }
            try await started.wait(atMost: .seconds(30), time: SystemTime())
            group.cancelAll()
            for _ in 0..<100 { await Task.yield() }
            waiting.value?.resume()
            #expect(try await group.next() == 42)
        }
    }

    @Test("A simulation runs one body at a time, and time goes on from run to run")
    func oneAtATime() async throws {
        let simulation = Simulation(seed: 10)
        let error = await #expect(throws: SimulationError.self) {
            try await simulation.run { try await simulation.run {} }
        }
        #expect(error?.code == .alreadyRunning)
        for _ in 0..<2 {
            try await simulation.run { try await Runtime.current.time.sleep(for: .seconds(5)) }
        }
        #expect(simulation.time.now() == VirtualTime.defaultStart + .seconds(10))
    }

    @Test("Waiting for quiet outside a run is an error by name")
    func notRunning() async throws {
        let error = await #expect(throws: SimulationError.self) { try await Simulation(seed: 1).untilQuiet() }
        #expect(error?.code == .notRunning)
    }

    // MARK: Quiet

    @Test("Quiet is exact: it comes when nothing is in flight, however long that takes, and no later")
    func untilQuietIsExact() async throws {
        let simulation = Simulation(seed: 11, limits: .init(time: .seconds(7200)))
        let open = Box(0)
        simulation.watch { open.value > 0 ? ["\(open.value) jobs"] : [] }
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    // Polls for ever; that must neither hold quiet up nor move time.
                    while true { try await Runtime.current.time.sleep(for: .seconds(7)) }
                }
                open.value = 1
                group.addTask {
                    try await Runtime.current.time.sleep(for: .seconds(3600))
                    open.value = 2
                    try await Runtime.current.time.sleep(for: .seconds(1))
                    open.value = 0
                }
                try await simulation.untilQuiet()
                #expect(open.value == 0)
                #expect(simulation.time.monotonic().nanoseconds == 3_601_000_000_000)
                try await simulation.untilQuiet()
                #expect(simulation.time.monotonic().nanoseconds == 3_601_000_000_000)
                group.cancelAll()
            }
        }
    }

    @Test("With a horizon, what happens later is not waited for")
    func horizon() async throws {
        let simulation = Simulation(seed: 12)
        simulation.watch { ["a message due next year"] }
        try await simulation.run {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await Runtime.current.time.sleep(for: .seconds(366 * 86_400)) }
                try await simulation.untilQuiet(horizon: .seconds(60))
                #expect(simulation.time.monotonic().nanoseconds == 60_000_000_000)
                group.cancelAll()
            }
        }
    }

    // MARK: The outside

    @Test("A task that hops to another executor and comes back goes on")
    func hopsAndComesBack() async throws {
        let value = try await Simulation(seed: 13).run { await Self.onMainActor() }
        #expect(value == 42)
    }

    @MainActor private static func onMainActor() -> Int { 42 }

    @Test("The run is off the main actor even if its caller is on it")
    @MainActor func callerOnMainActor() async throws {
        let value = try await Simulation(seed: 14).run { await Self.onMainActor() }
        #expect(value == 42)
    }

    @Test("Hundreds of thousands of jobs take seconds at most")
    func speed() async throws {
        let simulation = Simulation(seed: 15)
        try await simulation.run {
            await withTaskGroup(of: Void.self) { group in
                for _ in 0..<100 { group.addTask { for _ in 0..<2000 { await Task.yield() } } }
            }
        }
        #expect(simulation.jobs > 200_000)
    }
}
