// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Testing

/// The clock by itself, moved by hand and with tasks on the ordinary threads.
@Suite(.timeLimit(.minutes(10))) struct VirtualTimeTests {
    @Test("Time stands still until it is moved")
    func standsStill() {
        let time = VirtualTime(start: Timestamp(secondsSinceEpoch: 100))
        #expect(time.now() == Timestamp(secondsSinceEpoch: 100))
        #expect(time.monotonic() == MonotonicInstant(nanoseconds: 0))
        time.advance(by: .milliseconds(1500))
        #expect(time.now() == Timestamp(secondsSinceEpoch: 101, nanoseconds: 500_000_000))
        time.advance(by: .seconds(-5))
        #expect(time.monotonic() == MonotonicInstant(nanoseconds: 1_500_000_000))
    }

    @Test("A sleeper wakes when its deadline has come, and not before")
    func wakesAtDeadline() async throws {
        let time = VirtualTime()
        let isAwake = Box(false)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await time.sleep(for: .seconds(10))
                isAwake.value = true
            }
            try await time.waitForSleepers(1)
            #expect(time.nextDeadline == MonotonicInstant(nanoseconds: 10_000_000_000))
            time.advance(by: .seconds(10) - .nanoseconds(1))
            #expect(time.sleepers == 1)
            #expect(!isAwake.value)
            time.advance(by: .nanoseconds(1))
            #expect(time.sleepers == 0)
            try await group.waitForAll()
            #expect(isAwake.value)
        }
    }

    @Test("Thousands of sleepers wake in order of deadline, then of when they fell asleep, whatever order they came in")
    func order() async throws {
        let executor = SimulationExecutor(order: .firstComeFirstServed)
        let time = VirtualTime()
        let woken = Box<[Int]>([])
        let deadlines = (0..<5000).map { ($0 * 7919) % 1000 + 1 }
        await withThrowingTaskGroup(of: Void.self) { group in
            for (index, deadline) in deadlines.enumerated() {
                group.addTask(executorPreference: executor) {
                    try await time.sleep(for: .seconds(deadline))
                    woken.value.append(index)
                }
            }
            executor.drain()
            #expect(time.sleepers == 5000)
            while let next = time.nextDeadline {
                time.advance(to: next)
                executor.drain()
            }
        }
        let expected = deadlines.indices.sorted { (deadlines[$0], $0) < (deadlines[$1], $1) }
        #expect(woken.value == expected)
    }

    @Test("Cancelled sleepers are gone at once, and leave nothing behind however many they are")
    func cancellation() async throws {
        let time = VirtualTime()
        for round in 1...200 {
            await withTaskGroup(of: Bool.self) { group in
                for _ in 0..<10 {
                    group.addTask {
                        do {
                            try await time.sleep(for: .seconds(round))
                            return false
                        } catch {
                            return error is CancellationError
                        }
                    }
                }
                group.cancelAll()
                for await wasCancelled in group { #expect(wasCancelled) }
            }
        }
        #expect(time.sleepers == 0)
        #expect(time.nextDeadline == nil)
    }

    @Test("A deadline in the past returns at once, unless the task is cancelled")
    func past() async throws {
        let time = VirtualTime()
        try await time.sleep(for: .zero)
        try await time.sleep(until: MonotonicInstant(nanoseconds: -5))
        await withThrowingTaskGroup(of: Void.self) { group in
            group.cancelAll()
            group.addTask { try await time.sleep(for: .zero) }
            await #expect(throws: CancellationError.self) { try await group.next() }
        }
    }

    @Test("Waiting for sleepers can be cancelled")
    func waitForSleepersIsCancellable() async {
        let time = VirtualTime()
        await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await time.waitForSleepers(1) }
            group.cancelAll()
            await #expect(throws: CancellationError.self) { try await group.next() }
        }
    }

    @Test("The end of time is as far as it goes")
    func saturates() async {
        let time = VirtualTime()
        time.advance(by: .seconds(Int64.max))
        #expect(time.monotonic() == MonotonicInstant(nanoseconds: .max))
        #expect(time.now() > VirtualTime.defaultStart)
    }
}
