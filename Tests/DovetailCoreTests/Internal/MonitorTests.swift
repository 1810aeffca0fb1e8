// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DovetailCore

@Suite(.timeLimit(.minutes(10)))
struct MonitorTests {
    private struct State: Sendable {
        var tokens = 0
        var waiters = WaiterList()

        mutating func give() -> Wakeup {
            tokens += 1
            return waiters.wakeFirst()
        }
    }

    private func take(from monitor: Monitor<State>) async throws {
        try await monitor.wait(in: \.waiters) { state -> Void? in
            guard state.tokens > 0 else { return nil }
            state.tokens -= 1
            return ()
        }
    }

    @Test("Who waits is woken in the order of the line")
    func firstComeFirstServed() async {
        let monitor = Monitor(State())
        let order = Shared<[Int]>([])
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<20 {
                let id = monitor.withLock { $0.waiters.reserve() }
                group.addTask {
                    #expect(await monitor.suspend(id, in: \.waiters))
                    order.change { $0.append(number) }
                    // Each wakes the next, so that the order of waking is the order of running.
                    monitor.withLock { $0.waiters.wakeFirst() }.resume()
                }
            }
            monitor.withLock { $0.waiters.wakeFirst() }.resume()
        }
        #expect(order.value == Array(0..<20))
    }

    @Test("A wake-up between the place in the line and the suspension is not lost")
    func wokenBeforeSuspending() async {
        let monitor = Monitor(State())
        let id = monitor.withLock { $0.waiters.reserve() }
        let wakeup = monitor.withLock { $0.waiters.wakeFirst() }
        #expect(wakeup.count == 1)
        wakeup.resume()
        #expect(await monitor.suspend(id, in: \.waiters))
        #expect(monitor.withLock { $0.waiters.isEmpty })
    }

    @Test("Who is cancelled before suspending leaves the line, unless it was woken already")
    func cancelledBeforeSuspending() async {
        let monitor = Monitor(State())
        let (first, second) = monitor.withLock { ($0.waiters.reserve(), $0.waiters.reserve()) }
        monitor.withLock { $0.waiters.wakeFirst() }.resume()
        await withTaskGroup(of: Void.self) { group in
            group.cancelAll()
            group.addTask {
                #expect(await monitor.suspend(first, in: \.waiters), "It has the turn and must pass it on.")
                #expect(await !monitor.suspend(second, in: \.waiters))
            }
        }
        #expect(monitor.withLock { $0.waiters.isEmpty })
        #expect(monitor.withLock { $0.waiters.wakeFirst().count } == 0)
    }

    @Test("Who is cancelled while waiting leaves the line to the others")
    func cancelledWhileWaiting() async throws {
        let monitor = Monitor(State())
        try await withThrowingTaskGroup(of: Bool.self) { group in
            group.addTask {
                do {
                    try await take(from: monitor)
                    return true
                } catch is CancellationError { return false }
            }
            while monitor.withLock({ $0.waiters.isEmpty }) { await Task.yield() }
            group.cancelAll()
            let wasServed = try await group.next()
            #expect(wasServed == false)
        }
        #expect(monitor.withLock { $0.waiters.isEmpty })
        monitor.withLock { $0.give() }.resume()
        try await take(from: monitor)
    }

    @Test("Waking all wakes each one once")
    func wakeAll() async {
        let monitor = Monitor(State())
        await withTaskGroup(of: Bool.self) { group in
            let ids = monitor.withLock { state in (0..<30).map { _ in state.waiters.reserve() } }
            for id in ids.prefix(20) { group.addTask { await monitor.suspend(id, in: \.waiters) } }
            for id in ids.suffix(10) { group.addTask { await monitor.suspend(id, in: \.waiters) } }
            let all = monitor.withLock { $0.waiters.wakeAll() }
            #expect(all.count == 30)
            all.resume()
            for await isWoken in group { #expect(isWoken) }
        }
        #expect(monitor.withLock { $0.waiters.count } == 0)
    }

    @Test("Many who leave the line do not make it longer")
    func lineDoesNotGrow() async {
        let monitor = Monitor(State())
        let patient = monitor.withLock { $0.waiters.reserve() }
        for _ in 0..<1000 {
            let id = monitor.withLock { $0.waiters.reserve() }
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask { #expect(await !monitor.suspend(id, in: \.waiters)) }
            }
        }
        #expect(monitor.withLock { $0.waiters.count } == 1)
        #expect(monitor.withLock { $0.waiters.places } < 40)
        monitor.withLock { $0.waiters.wakeFirst() }.resume()
        #expect(await monitor.suspend(patient, in: \.waiters))
    }

    @Test("Under races of waking and cancelling, every token is taken once, by someone who was not cancelled")
    func wakingAgainstCancelling() async throws {
        let monitor = Monitor(State())
        let waiters = 600
        let taken = Shared(0)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for waiter in 0..<waiters {
                group.addTask {
                    await withTaskGroup(of: Void.self) { inner in
                        inner.addTask {
                            if (try? await take(from: monitor)) != nil { taken.change { $0 += 1 } }
                        }
                        if waiter % 3 == 0 {
                            for _ in 0..<waiter % 7 { await Task.yield() }
                            inner.cancelAll()
                        }
                    }
                }
            }
            for _ in 0..<4 {
                group.addTask {
                    for _ in 0..<waiters / 4 {
                        monitor.withLock { $0.give() }.resume()
                        await Task.yield()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(taken.value + monitor.withLock { $0.tokens } == waiters)
        #expect(taken.value >= waiters * 2 / 3)
        #expect(monitor.withLock { $0.waiters.isEmpty })
    }
}
