// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import DovetailTesting
import Testing

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

@Suite(.timeLimit(.minutes(10)), .serialized)
struct ServicesTests {
    final class Log: Sendable {
        private struct State: Sendable {
            var lines: [String] = []
            var waiters = WaiterList()
        }

        private let monitor = Monitor(State())
        var all: [String] { monitor.withLock { $0.lines } }

        func add(_ line: String) {
            monitor.withLock { state in
                state.lines.append(line)
                return state.waiters.wakeAll()
            }.resume()
        }

        func wait(for count: Int) async throws {
            try await monitor.wait(in: \.waiters) { $0.lines.count >= count ? () : nil }
        }
    }

    /// Runs until cancelled, and takes its time to end.
    struct Part: Service {
        let name: String
        let log: Log
        var endsAfter: Duration?
        var fails = false
        var failsAtEnd = false
        var lingers: Duration = .seconds(1)

        struct Failure: Error {}

        func run() async throws {
            let time = Runtime.current.time
            log.add("\(name) began")
            if let endsAfter {
                try await time.sleep(for: endsAfter)
                log.add("\(name) ended")
                if fails { throw Failure() }
                return
            }
            try? await time.sleep(for: .seconds(1000))
            log.add("\(name) stops at \(time.monotonic().nanoseconds / 1_000_000_000)")
            let lingers = lingers
            try await withCancellationShield {
                try await time.sleep(for: lingers)
            } onCancel: {
            }
            log.add("\(name) ended")
            if failsAtEnd { throw Failure() }
            throw CancellationError()
        }
    }

    private func cancel(_ services: Services, after time: Duration) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await services.run() }
            try await Runtime.current.time.sleep(for: time)
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    @Test func cancelledServicesAreStoppedOneAfterTheOtherFromTheLast() async throws {
        let log = Log()
        try await Simulation(seed: 1).run {
            try await cancel(
                Services(Part(name: "a", log: log), Part(name: "b", log: log), Part(name: "c", log: log)),
                after: .seconds(10))
        }
        #expect(log.all.prefix(3).sorted() == ["a began", "b began", "c began"])
        #expect(
            log.all.dropFirst(3)
                == ["c stops at 10", "c ended", "b stops at 11", "b ended", "a stops at 12", "a ended"])
    }

    @Test func aServiceThatFailsStopsTheOthersAndItsErrorIsThrown() async throws {
        let log = Log()
        try await Simulation(seed: 1).run {
            _ = await #expect(throws: Part.Failure.self) {
                try await Services(
                    Part(name: "a", log: log), Part(name: "b", log: log, endsAfter: .seconds(5), fails: true),
                    Part(name: "c", log: log)
                ).run()
            }
        }
        #expect(log.all.dropFirst(3) == ["b ended", "c stops at 5", "c ended", "a stops at 6", "a ended"])
    }

    @Test func aServiceThatReturnsIsDoneAndTheOthersGoOn() async throws {
        let log = Log()
        try await Simulation(seed: 1).run {
            try await cancel(
                Services(Part(name: "a", log: log), Part(name: "b", log: log, endsAfter: .seconds(5))),
                after: .seconds(10))
        }
        #expect(log.all.dropFirst(2) == ["b ended", "a stops at 10", "a ended"])
    }

    @Test func whenAllHaveReturnedSoDoesTheGroup() async throws {
        let log = Log()
        try await Simulation(seed: 1).run {
            try await Services([Part(name: "a", log: log, endsAfter: .seconds(5))]).run()
            try await Services().run()
        }
        #expect(log.all == ["a began", "a ended"])
    }

    @Test func aFailureAtTheEndOfAStoppedServiceIsThrown() async throws {
        let log = Log()
        try await Simulation(seed: 1).run {
            _ = await #expect(throws: Part.Failure.self) {
                try await cancel(Services(Part(name: "a", log: log, failsAtEnd: true)), after: .seconds(1))
            }
        }
    }

    @Test func groupsWithinGroupsStopInOrderToo() async throws {
        let log = Log()
        try await Simulation(seed: 1).run {
            let inner = Services(Part(name: "b", log: log), Part(name: "c", log: log))
            try await cancel(Services(Part(name: "a", log: log), inner, Part(name: "d", log: log)), after: .seconds(1))
        }
        #expect(log.all.filter { $0.hasSuffix("ended") } == ["d ended", "c ended", "b ended", "a ended"])
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func aSignalStopsThemInOrderAndIsThenHandledAsBefore(number: Int32) async throws {
        let log = Log()
        let before = signal(number, SIG_IGN)
        defer { _ = signal(number, before) }
        let parts = Services(
            Part(name: "a", log: log, lingers: .milliseconds(1)), Part(name: "b", log: log, lingers: .milliseconds(1)))
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await parts.run() }
            // The signal is only watched once the services run.
            try await log.wait(for: 2)
            kill(getpid(), number)
            try await group.waitForAll()
        }
        #expect(log.all.filter { $0.hasSuffix("ended") } == ["b ended", "a ended"])
        let restored = signal(number, SIG_IGN)
        #expect(unsafeBitCast(restored, to: Int.self) == unsafeBitCast(SIG_IGN, to: Int.self))
    }
}
