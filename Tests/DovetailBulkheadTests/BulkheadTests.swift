// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Testing

@testable import DovetailBulkhead

/// The numbers are those of the checklist of what other bulkheads get wrong.
@Suite("Bulkhead", .timeLimit(.minutes(10)))
struct BulkheadTests {
    struct Broken: Error {}

    // MARK: 39: the limit

    @Test("39: never more than the limit are under way", arguments: 0..<30)
    func limit(seed: UInt64) async throws {
        try await simulated(seed) { time in
            let bulkhead = Bulkhead(limit: 3, queue: 100)
            let gauge = Gauge()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<20 {
                    group.addTask {
                        try await bulkhead.call {
                            gauge.enter()
                            defer { gauge.leave() }
                            try await time.sleep(for: .milliseconds(1))
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(gauge.most == 3)
            #expect(bulkhead.isIdle)
        }
    }

    @Test("39: a limit of zero, or less, rejects everything, and nobody waits for it", arguments: [0, -1, .min])
    func zeroLimit(limit: Int) async throws {
        let bulkhead = Bulkhead(limit: limit, queue: 10)
        #expect(!bulkhead.hasPermit)
        #expect(await code { _ = try await bulkhead.acquire() } == .full)
        #expect(await code { try await bulkhead.withPermit {} } == .full)
        #expect(bulkhead.snapshot() == BulkheadSnapshot(name: "bulkhead", limit: 0, inUse: 0, waiting: 0, rejected: 3))
    }

    @Test("39: with no wait allowed, a caller is rejected at once", arguments: [Duration.zero, .seconds(-1)])
    func zeroWait(longestWait: Duration) async throws {
        try await simulated(1) { time in
            let bulkhead = Bulkhead(limit: 1, queue: 10, longestWait: longestWait)
            let permit = try await bulkhead.acquire()
            let started = time.monotonic()
            #expect(await code { _ = try await bulkhead.acquire() } == .full)
            #expect(time.monotonic() == started)
            permit.release()
            // Free again: waiting is not what it takes.
            try await bulkhead.withPermit {}
            #expect(bulkhead.isIdle)
        }
    }

    @Test("39: nobody waits unless told so")
    func noQueue() async throws {
        let bulkhead = Bulkhead(limit: 1)
        let permit = try await bulkhead.acquire()
        #expect(await code { _ = try await bulkhead.acquire() } == .full)
        permit.release()
        #expect(bulkhead.isIdle)
    }

    @Test("39: the tiniest wait takes a free permit, and times out when there is none")
    func tinyWait() async throws {
        try await simulated(1) { time in
            let bulkhead = Bulkhead(limit: 1, queue: 1, longestWait: .nanoseconds(1))
            let permit = try await bulkhead.acquire()
            let started = time.monotonic()
            #expect(await code { _ = try await bulkhead.acquire() } == .waitTimedOut)
            #expect(time.monotonic() - started == .nanoseconds(1))
            permit.release()
            #expect(bulkhead.isIdle)
        }
    }

    @Test("39: a limit beyond all reason does no harm")
    func hugeLimit() async throws {
        let bulkhead = Bulkhead(limit: .max, queue: .max)
        let permit = bulkhead.tryAcquire()
        let permitIsHeld = isHeld(permit)
        #expect(permitIsHeld)
        bulkhead.resize(to: 0)
        bulkhead.resize(to: .max)
        #expect(bulkhead.snapshot().inUse == 1)
    }

    // MARK: 40: first come first served

    @Test("40: those who wait are served in the order in which they came", arguments: 0..<20)
    func fifo(seed: UInt64) async throws {
        try await simulated(seed) { _ in
            let bulkhead = Bulkhead(limit: 1, queue: 10)
            let order = Shared<[Int]>([])
            let permit = Slot(try await bulkhead.acquire())
            try await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<10 {
                    group.addTask {
                        let permit = try await bulkhead.acquire()
                        order.change { $0.append(caller) }
                        permit.release()
                    }
                    await untilWaiting(caller + 1, at: bulkhead)
                }
                permit.release()
                try await group.waitForAll()
            }
            #expect(order.value == Array(0..<10))
            #expect(bulkhead.isIdle)
        }
    }

    @Test("40: a caller that arrives as a permit is given back cannot overtake one that waits", arguments: 0..<20)
    func noOvertaking(seed: UInt64) async throws {
        try await simulated(seed) { _ in
            let bulkhead = Bulkhead(limit: 1, queue: 10)
            let permit = Slot(try await bulkhead.acquire())
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try await bulkhead.acquire() }
                await untilWaiting(1, at: bulkhead)
                #expect(!bulkhead.hasPermit)
                permit.release()
                // The permit is the waiter's, though its task has not run yet.
                #expect(!bulkhead.hasPermit)
                #expect(bulkhead.snapshot().inUse == 1)
                try await group.waitForAll()
            }
            #expect(bulkhead.isIdle)
        }
    }

    // MARK: 41 and 42: waits that end

    @Test("41: a waiter that times out as a permit is released loses none", arguments: 0..<100)
    func timeoutAtRelease(seed: UInt64) async throws {
        try await simulated(seed) { time in
            let bulkhead = Bulkhead(limit: 1, queue: 10, longestWait: .milliseconds(10))
            let outcomes = Shared((served: 0, timedOut: 0))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let permit = try await bulkhead.acquire()
                    try await time.sleep(for: .milliseconds(10))
                    permit.release()
                }
                await untilInUse(1, at: bulkhead)
                for _ in 0..<10 {
                    group.addTask {
                        do {
                            let permit = try await bulkhead.acquire()
                            outcomes.change { $0.served += 1 }
                            permit.release()
                        } catch let error as BulkheadError where error.code == .waitTimedOut {
                            outcomes.change { $0.timedOut += 1 }
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(outcomes.value.served + outcomes.value.timedOut == 10)
            #expect(bulkhead.isIdle)
        }
    }

    @Test("41: a wait is as long as allowed, to the nanosecond, and the one who waited leaves the line")
    func timeout() async throws {
        try await simulated(1) { time in
            let bulkhead = Bulkhead(limit: 1, queue: 10, longestWait: .seconds(2))
            let permit = try await bulkhead.acquire()
            let started = time.monotonic()
            #expect(await code { _ = try await bulkhead.acquire() } == .waitTimedOut)
            #expect(time.monotonic() - started == .seconds(2))
            #expect(bulkhead.snapshot().waiting == 0)
            permit.release()
            #expect(bulkhead.isIdle)
        }
    }

    @Test("41: without a longest wait, a caller waits as long as it takes")
    func patient() async throws {
        try await simulated(1) { time in
            let bulkhead = Bulkhead(limit: 1, queue: 1)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    let permit = try await bulkhead.acquire()
                    try await time.sleep(for: .seconds(86_400))
                    permit.release()
                }
                await untilInUse(1, at: bulkhead)
                try await bulkhead.withPermit {}
                try await group.waitForAll()
            }
        }
    }

    @Test(
        "42: a cancelled waiter resumes at once, leaves the line, and hands a simultaneous grant on", arguments: 0..<100
    )
    func cancelledAtGrant(seed: UInt64) async throws {
        let simulation = Simulation(seed: seed)
        try await simulation.run {
            let bulkhead = Bulkhead(limit: 1, queue: 10)
            let permit = Slot(try await bulkhead.acquire())
            let cancelled = Task(executorPreference: simulation.executor) { try await bulkhead.withPermit {} }
            await untilWaiting(1, at: bulkhead)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await bulkhead.withPermit {} }
                await untilWaiting(2, at: bulkhead)
                // Granted first and cancelled before its task runs.
                permit.release()
                cancelled.cancel()
                try await group.waitForAll()
            }
            await #expect(throws: CancellationError.self) { try await cancelled.value }
            #expect(bulkhead.isIdle)
        }
    }

    @Test("42: a cancelled waiter does not wait for a permit or the clock")
    func cancelled() async throws {
        let simulation = Simulation(seed: 1)
        try await simulation.run {
            let bulkhead = Bulkhead(limit: 1, queue: 10, longestWait: .seconds(60))
            let permit = try await bulkhead.acquire()
            let started = simulation.time.monotonic()
            let cancelled = Task(executorPreference: simulation.executor) { try await bulkhead.withPermit {} }
            await untilWaiting(1, at: bulkhead)
            cancelled.cancel()
            #expect(bulkhead.snapshot().waiting == 0)
            await #expect(throws: CancellationError.self) { try await cancelled.value }
            #expect(simulation.time.monotonic() == started)
            #expect(
                bulkhead.snapshot() == BulkheadSnapshot(name: "bulkhead", limit: 1, inUse: 1, waiting: 0, rejected: 0))
            permit.release()
            #expect(bulkhead.isIdle)
        }
    }

    @Test("43: a caller that is cancelled already takes nothing, though a permit is free")
    func cancelledBefore() async throws {
        let bulkhead = Bulkhead(limit: 1)
        await withTaskGroup(of: Void.self) { group in
            group.cancelAll()
            group.addTask {
                await #expect(throws: CancellationError.self) { _ = try await bulkhead.acquire() }
                await #expect(throws: CancellationError.self) {
                    try await bulkhead.withPermit { Issue.record("The call was made.") }
                }
                await #expect(throws: CancellationError.self) {
                    try await bulkhead.call { Issue.record("The call was made.") }
                }
                // What never waits does not look.
                let calls = Shared(0)
                try? await bulkhead.tryWithPermit { calls.change { $0 += 1 } }
                #expect(calls.value == 1)
                #expect(bulkhead.hasPermit)
            }
        }
        #expect(bulkhead.isIdle)
        #expect(bulkhead.snapshot().rejected == 0)
    }

    // MARK: 44: the queue

    @Test("44: when as many wait as may, the next is rejected at once, and not as timed out")
    func queueLimit() async throws {
        try await simulated(1) { time in
            let bulkhead = Bulkhead(limit: 1, queue: 2, longestWait: .seconds(1))
            let permit = Slot(try await bulkhead.acquire())
            try await withThrowingTaskGroup(of: BulkheadError.Code?.self) { group in
                for waiter in 1...2 {
                    group.addTask { await code { _ = try await bulkhead.acquire() } }
                    await untilWaiting(waiter, at: bulkhead)
                }
                let started = time.monotonic()
                #expect(await code { _ = try await bulkhead.acquire() } == .queueFull)
                #expect(time.monotonic() == started)
                #expect(bulkhead.snapshot().waiting == 2)
                for try await code in group { #expect(code == .waitTimedOut) }
            }
            #expect(bulkhead.snapshot().rejected == 3)
            permit.release()
            #expect(bulkhead.isIdle)
        }
    }

    // MARK: 45: every way out

    @Test("45: a body that throws, one that is cancelled and one that returns early give the permit back once")
    func releasesOnce() async throws {
        try await simulated(1) { time in
            let bulkhead = Bulkhead(limit: 2)
            await #expect(throws: Broken.self) { try await bulkhead.call { throw Broken() } }
            await #expect(throws: Broken.self) { try await bulkhead.withPermit { throw Broken() } }
            await #expect(throws: Broken.self) { try await bulkhead.tryWithPermit { throw Broken() } }
            #expect(bulkhead.isIdle)

            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await bulkhead.call { try await time.sleep(for: .seconds(60)) } }
                await untilInUse(1, at: bulkhead)
                group.cancelAll()
            }
            #expect(bulkhead.isIdle)

            func leavesEarly() -> Bool {
                guard let permit = bulkhead.tryAcquire() else { return false }
                if bulkhead.snapshot().inUse == 1 { return true }
                permit.release()
                return false
            }
            #expect(leavesEarly())
            #expect(bulkhead.isIdle)

            let permit = Slot(try await bulkhead.acquire())
            permit.release()
            #expect(bulkhead.isIdle)
        }
    }

    @Test("45: a permit outlives its bulkhead, is handed to another task, and nothing is left behind")
    func permitOutlivesBulkhead() async throws {
        for permits in 0...3 {
            weak var core: BulkheadCore?
            var bulkhead: Bulkhead? = Bulkhead(limit: 2)
            core = bulkhead?.core
            // Three of two: one of them is out above a limit that shrank.
            if permits == 3 { bulkhead?.resize(to: 3) }
            var first = permits > 0 ? bulkhead?.tryAcquire() : nil
            let second = permits > 1 ? bulkhead?.tryAcquire() : nil
            let third = permits > 2 ? bulkhead?.tryAcquire() : nil
            if permits == 3 { bulkhead?.resize(to: 2) }
            bulkhead = nil
            #expect((core != nil) == (permits > 0))
            let handedOn = Slot(first.take())
            await withTaskGroup(of: Void.self) { group in group.addTask { handedOn.release() } }
            _ = consume second
            _ = consume third
            #expect(core == nil, "with \(permits) permits out")
        }
    }

    // MARK: 46: resizing

    @Test("46: growing wakes as many of those who wait as there are new permits, in order")
    func grow() async throws {
        try await simulated(1) { time in
            let bulkhead = Bulkhead(limit: 1, queue: 10)
            let order = Shared<[Int]>([])
            let permit = Slot(try await bulkhead.acquire())
            try await withThrowingTaskGroup(of: Void.self) { group in
                for caller in 0..<5 {
                    group.addTask {
                        try await bulkhead.withPermit {
                            order.change { $0.append(caller) }
                            try await time.sleep(for: .seconds(1))
                        }
                    }
                    await untilWaiting(caller + 1, at: bulkhead)
                }
                bulkhead.resize(to: 4)
                #expect(
                    bulkhead.snapshot()
                        == BulkheadSnapshot(name: "bulkhead", limit: 4, inUse: 4, waiting: 2, rejected: 0))
                try await time.sleep(for: .milliseconds(1))
                #expect(order.value.sorted() == [0, 1, 2])
                permit.release()
                try await group.waitForAll()
            }
            #expect(order.value.count == 5)
            #expect(bulkhead.isIdle)
        }
    }

    @Test("46: growing beyond those who wait leaves the rest free")
    func growBeyond() async throws {
        try await simulated(1) { _ in
            let bulkhead = Bulkhead(limit: 1, queue: 10)
            let permit = Slot(try await bulkhead.acquire())
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await bulkhead.withPermit {} }
                await untilWaiting(1, at: bulkhead)
                bulkhead.resize(to: 4)
                let free = bulkhead.tryAcquire()
                let freeIsHeld = isHeld(free)
                #expect(freeIsHeld)
                try await group.waitForAll()
            }
            permit.release()
            #expect(bulkhead.isIdle)
        }
    }

    @Test("46: shrinking never blocks, and lets nobody in until fewer are under way than the new limit")
    func shrink() async throws {
        let bulkhead = Bulkhead(limit: 4)
        var permits = Permits(four: bulkhead)
        bulkhead.resize(to: 2)
        #expect(bulkhead.snapshot().limit == 2)
        #expect(bulkhead.snapshot().inUse == 4)
        #expect(!bulkhead.hasPermit)
        permits.releaseOne()
        #expect(!bulkhead.hasPermit)
        permits.releaseOne()
        #expect(bulkhead.snapshot().inUse == 2)
        #expect(!bulkhead.hasPermit)
        permits.releaseOne()
        do {
            let permit = bulkhead.tryAcquire()
            let permitIsHeld = isHeld(permit)
            #expect(permitIsHeld)
            #expect(!bulkhead.hasPermit)
        }
        permits.releaseOne()
        #expect(bulkhead.isIdle)
    }

    @Test("46: shrinking what is partly free takes the free permits first")
    func shrinkFree() async throws {
        let bulkhead = Bulkhead(limit: 4)
        let permit = bulkhead.tryAcquire()
        let permitIsHeld = isHeld(permit)
        #expect(permitIsHeld)
        bulkhead.resize(to: 2)
        do {
            let second = bulkhead.tryAcquire()
            let secondIsHeld = isHeld(second)
            #expect(secondIsHeld)
            #expect(!bulkhead.hasPermit)
        }
        bulkhead.resize(to: 1)
        #expect(!bulkhead.hasPermit)
        _ = consume permit
        #expect(bulkhead.isIdle)
    }

    @Test("46: a shrunken bulkhead that grows again counts what is out")
    func shrinkAndGrow() async throws {
        let bulkhead = Bulkhead(limit: 4)
        var permits = Permits(four: bulkhead)
        bulkhead.resize(to: 1)
        bulkhead.resize(to: 5)
        do {
            let fifth = bulkhead.tryAcquire()
            let fifthIsHeld = isHeld(fifth)
            #expect(fifthIsHeld)
            #expect(!bulkhead.hasPermit)
        }
        for _ in 0..<4 { permits.releaseOne() }
        #expect(bulkhead.isIdle)
    }

    @Test("46: shrinking to zero turns those who wait away")
    func shrinkToZero() async throws {
        try await simulated(1) { _ in
            let bulkhead = Bulkhead(limit: 1, queue: 10)
            let permit = Slot(try await bulkhead.acquire())
            await withTaskGroup(of: BulkheadError.Code?.self) { group in
                for waiter in 1...3 {
                    group.addTask { await code { _ = try await bulkhead.acquire() } }
                    await untilWaiting(waiter, at: bulkhead)
                }
                bulkhead.resize(to: 0)
                for await code in group { #expect(code == .full) }
            }
            permit.release()
            #expect(bulkhead.isIdle)
            bulkhead.resize(to: 1)
            try await bulkhead.withPermit {}
        }
    }

    @Test("46: a new longest wait, or a shorter queue, is for callers that come later")
    func newWait() async throws {
        try await simulated(1) { time in
            let bulkhead = Bulkhead(limit: 1, queue: 10, longestWait: .seconds(2))
            let permit = Slot(try await bulkhead.acquire())
            let started = time.monotonic()
            await withTaskGroup(of: Duration.self) { group in
                group.addTask {
                    #expect(await code { _ = try await bulkhead.acquire() } == .waitTimedOut)
                    return time.monotonic() - started
                }
                await untilWaiting(1, at: bulkhead)
                bulkhead.apply(Bulkhead.Settings(limit: 1, queue: 2, longestWait: .seconds(1)))
                #expect(bulkhead.settings == Bulkhead.Settings(limit: 1, queue: 2, longestWait: .seconds(1)))
                group.addTask {
                    #expect(await code { _ = try await bulkhead.acquire() } == .waitTimedOut)
                    return time.monotonic() - started
                }
                await untilWaiting(2, at: bulkhead)
                bulkhead.apply(Bulkhead.Settings(limit: 1, queue: 1, longestWait: .seconds(1)))
                #expect(await code { _ = try await bulkhead.acquire() } == .queueFull)
                var ends: [Duration] = []
                for await end in group { ends.append(end) }
                #expect(ends == [.seconds(1), .seconds(2)])
            }
            permit.release()
        }
    }

    @Test("46: a queue that is opened later lets callers wait, and one that is closed turns them away at once")
    func opensQueue() async throws {
        try await simulated(1) { _ in
            let bulkhead = Bulkhead(limit: 1)
            let permit = Slot(try await bulkhead.acquire())
            #expect(await code { try await bulkhead.withPermit {} } == .full)
            bulkhead.apply(Bulkhead.Settings(limit: 1, queue: 1))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await bulkhead.withPermit {} }
                await untilWaiting(1, at: bulkhead)
                bulkhead.apply(Bulkhead.Settings(limit: 1))
                #expect(await code { try await bulkhead.withPermit {} } == .full)
                permit.release()
                try await group.waitForAll()
            }
            bulkhead.resize(to: 0)
            let error = await #expect(throws: BulkheadError.self) { try await bulkhead.withPermit {} }
            #expect(error?.message.contains("limit is zero") == true)
        }
    }

    @Test("39: a caller that comes late to a permit that was just given back takes it, also where nobody may wait")
    func lateLook() {
        let core = BulkheadCore(Bulkhead.Settings(limit: 1))
        guard case .taken = core.takeOrQueue() else {
            Issue.record("It was refused.")
            return
        }
        guard case .refused(.full, _) = core.takeOrQueue() else {
            Issue.record("It was let in.")
            return
        }
    }

    // MARK: 47: what is told

    @Test("47: rejections and waits are counted and told, with how long the caller waited")
    func events() async throws {
        let recorder = Recorder()
        try await simulated(1, instrument: recorder) { time in
            let bulkhead = Bulkhead("pricing", limit: 1, queue: 1, longestWait: .seconds(3))
            let permit = Slot(try await bulkhead.acquire())
            #expect(!bulkhead.hasPermit)
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await bulkhead.withPermit {} }
                await untilWaiting(1, at: bulkhead)
                #expect(await code { try await bulkhead.withPermit {} } == .queueFull)
                try? await time.sleep(for: .seconds(1))
                permit.release()
            }
            let second = try await bulkhead.acquire()
            #expect(await code { try await bulkhead.withPermit {} } == .waitTimedOut)
            #expect(await code { try await bulkhead.tryWithPermit {} } == .full)
            second.release()
            bulkhead.resize(to: 2)
            bulkhead.resize(to: 2)
            #expect(bulkhead.snapshot().rejected == 4)
        }
        let rejections = recorder.rejections.value
        #expect(rejections.map(\.code) == [.full, .queueFull, .waitTimedOut, .full])
        #expect(rejections.map(\.waited) == [nil, nil, .seconds(3), nil])
        #expect(rejections.allSatisfy { $0.bulkhead == "pricing" })
        #expect(recorder.waits.value.map(\.waited) == [.seconds(1)])
        #expect(recorder.resizes.value.map { [$0.oldLimit, $0.newLimit] } == [[1, 2]])
        let metrics = MetricsInstrument()
        for rejection in rejections { metrics.record(rejection) }
        #expect(
            metrics.snapshot().count(of: BulkheadRejected.self, where: ["dovetail.reason": "queueFull"]) == 1)
    }

    @Test("47: a rejection is of a type that says that the call was not made, and says what to do")
    func rejectionError() async throws {
        let bulkhead = Bulkhead("pricing", limit: 1)
        let permit = try await bulkhead.acquire()
        let error = await #expect(throws: BulkheadError.self) { try await bulkhead.withPermit {} }
        #expect((error as (any Error)?) is any CallNotAttempted)
        #expect(error?.bulkhead == "pricing")
        #expect(error?.message.contains("'pricing'") == true)
        #expect(error?.message.contains("all 1 permits are taken") == true)
        #expect(error.map { FailureClassifier().classify($0) } == .transient)
        permit.release()
        let closed = await #expect(throws: BulkheadError.self) { try await Bulkhead(limit: 0).withPermit {} }
        #expect(closed?.message.contains("limit is zero") == true)
    }

    @Test("47: a bulkhead stands among other guards, and a retry tries again what it rejected")
    func amongGuards() async throws {
        try await simulated(1) { time in
            let bulkhead = Bulkhead(limit: 1)
            let guarded = Guarded(by: .retry(.exponential(attempts: 5)), bulkhead, .timeout(.seconds(2)))
            try await withThrowingTaskGroup(of: Int.self) { group in
                for number in 0..<2 {
                    group.addTask {
                        try await guarded.call {
                            try await time.sleep(for: .milliseconds(10))
                            return number
                        }
                    }
                }
                let sum = try await group.reduce(0, +)
                #expect(sum == 1)
            }
            #expect(bulkhead.snapshot().rejected > 0)
            #expect(bulkhead.isIdle)
        }
    }
}

private func untilInUse(_ count: Int, at bulkhead: Bulkhead) async {
    while bulkhead.snapshot().inUse != count { await Task.yield() }
}

/// Four permits, to be given back one by one.
private struct Permits: ~Copyable {
    private var first: Bulkhead.Permit?
    private var second: Bulkhead.Permit?
    private var third: Bulkhead.Permit?
    private var fourth: Bulkhead.Permit?

    init(four bulkhead: Bulkhead) {
        first = bulkhead.tryAcquire()
        second = bulkhead.tryAcquire()
        third = bulkhead.tryAcquire()
        fourth = bulkhead.tryAcquire()
    }

    mutating func releaseOne() {
        if first != nil {
            first = nil
        } else if second != nil {
            second = nil
        } else if third != nil {
            third = nil
        } else {
            fourth = nil
        }
    }
}
