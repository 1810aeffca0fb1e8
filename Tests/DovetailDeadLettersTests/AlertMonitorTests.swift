// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailDeadLetters
import DovetailSimulation
import DovetailTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct AlertMonitorTests {
    /// Keeps alerts, and can be told to fail.
    private final class Pager: AlertSink {
        let alerts = Log<DeadLetterAlert>()
        let failures: Mutex<Int>

        private let delay: Duration

        init(failing count: Int = 0, after delay: Duration = .zero) {
            failures = Mutex(count)
            self.delay = delay
        }

        func send(_ alert: DeadLetterAlert) async throws {
            try await Runtime.current.time.sleep(for: delay)
            let fails = failures.withLock { left in
                defer { left = max(0, left - 1) }
                return left > 0
            }
            if fails { throw Broken.thing }
            alerts.add(alert)
        }

        var kinds: [DeadLetterAlert.Kind] { alerts.all.map(\.kind) }
    }

    private func monitor(
        _ world: TestWorld, _ pager: any AlertSink..., rules: [AlertRule] = [.anyLetter]
    ) -> AlertMonitor<InMemoryDatabase> {
        AlertMonitor(world.letters, service: "shop", rules: rules, sinks: pager)
    }

    @Test(arguments: .simulated(seeds: 10))
    func anyLetterIsToldOfOnceWithinTheWindowAndResolvedOnceWhenAllAreGone(world: TestWorld) async throws {
        let pager = Pager()
        let consumer = Consumer("payments", on: world.bus) { On(OrderPlaced.self) { _, _ in throw Declined() } }
            .deadLettering(to: world.letters)
        try await world.run(consumer, monitor(world, pager)) {
            try await world.advance(by: .seconds(3600))
            #expect(pager.alerts.all.isEmpty)
            let start = world.time.now()
            try await world.deliver(OrderPlaced(number: 1))
            try await world.advance(by: .seconds(300))
            let alert = try #require(pager.alerts.all.first)
            #expect(alert.kind == .raised && alert.count == 1 && alert.group?.reason == .businessRule)
            #expect(alert.time - start <= .seconds(16))
            #expect(alert.service == "shop" && alert.queue == .main && alert.tier == .standard)
            // More of them, and hours, raise nothing more.
            for number in 2..<5 { try await world.deliver(OrderPlaced(number: number)) }
            try await world.advance(by: .seconds(7200))
            #expect(pager.kinds == [.raised])
            try await world.letters.discard(DeadLetterFilter(before: start + .seconds(10)), note: "")
            try await world.advance(by: .seconds(600))
            #expect(pager.kinds == [.raised])
            try await world.letters.discard(.all, note: "")
            try await world.advance(by: .seconds(7200))
            #expect(pager.kinds == [.raised, .resolved])
            #expect(Set(pager.alerts.all.map(\.id)).count == 1)
            // And again from the beginning.
            try await world.deliver(OrderPlaced(number: 9))
            try await world.advance(by: .seconds(300))
            #expect(pager.kinds == [.raised, .resolved, .raised])
            _ = try await world.deadLetters()
        }
    }

    @Test func aThresholdIsThatOfItsWindow() async throws {
        let world = TestWorld()
        let pager = Pager()
        let monitor = monitor(world, pager, rules: [AlertRule("many", threshold: 3, window: .seconds(60))])
        try await world.run {
            for number in 0..<6 {
                try await world.letters.capture([letter("slow \(number)")])
                try await monitor.check()
                try await world.advance(by: .seconds(40))
                try await monitor.check()
            }
            #expect(pager.kinds.isEmpty)
            try await world.letters.capture((0..<3).map { letter("\($0)") })
            try await monitor.check()
            #expect(pager.kinds == [.raised])
            #expect(pager.alerts.all.first?.count == 9)
            _ = try await world.deadLetters()
        }
    }

    @Test func eachQueueAndTierHasAlertsOfItsOwn() async throws {
        let world = TestWorld()
        let pager = Pager()
        let rules = [
            AlertRule("gold", filter: DeadLetterFilter(tier: "gold"), severity: .critical),
            AlertRule("expired", filter: DeadLetterFilter(reason: .expired), severity: .info),
        ]
        let monitor = monitor(world, pager, rules: rules)
        try await world.run {
            try await world.letters.capture([
                letter("1", queue: "a", tier: "gold"), letter("2", queue: "b", tier: "gold"), letter("3", queue: "a"),
                letter("4", queue: "a", reason: .expired),
            ])
            try await monitor.check()
            let raised = pager.alerts.all.map { "\($0.rule.name) \($0.queue) \($0.tier) \($0.count)" }
            #expect(raised.sorted() == ["expired a standard 1", "gold a gold 1", "gold b gold 1"])
            #expect(Set(pager.alerts.all.map(\.id)).count == 3)
            try await world.letters.discard(DeadLetterFilter(queue: "b"), note: "")
            try await monitor.check()
            #expect(pager.alerts.all.filter { $0.kind == .resolved }.map(\.queue) == ["b"])
        }
    }

    @Test(arguments: .simulated(seeds: 20))
    func manyMonitorsRaiseOneAlert(world: TestWorld) async throws {
        // Slow enough for the others to look meanwhile.
        let pager = Pager(after: .seconds(20))
        let monitor = monitor(world, pager)
        try await world.run(monitor, monitor, monitor) {
            try await world.letters.capture([letter("1")])
            try await world.advance(by: .seconds(300))
            #expect(pager.kinds == [.raised])
            try await world.letters.discard(.all, note: "")
            try await world.advance(by: .seconds(300))
            #expect(pager.kinds == [.raised, .resolved])
        }
    }

    @Test func whatCameWhileNobodyLookedIsToldOf() async throws {
        let world = TestWorld()
        let pager = Pager()
        let monitor = monitor(world, pager)
        try await world.run {
            try await monitor.check()
            try await world.letters.capture([letter("1")])
            // Much longer than the window.
            try await world.advance(by: .seconds(86_400))
            try await monitor.check()
            #expect(pager.kinds == [.raised])
            _ = try await world.deadLetters()
        }
    }

    @Test func aSinkThatFailsIsToldAgainAndTheOthersAreNot() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        let (sound, shaky) = (Pager(), Pager(failing: 2))
        try await world.run(monitor(world, sound, shaky)) {
            try await world.letters.capture([letter("1")])
            try await world.advance(by: .seconds(300))
            #expect(sound.kinds == [.raised] && shaky.kinds == [.raised])
            #expect(events.count("dovetail.dead_letter.alert_failed") == 2)
            #expect(events.count("dovetail.dead_letter.alert") == 1)
            _ = try await world.deadLetters()
        }
    }

    @Test(arguments: [true, false])
    func aSinkThatStaysBrokenSilencesNoOther(isFirst: Bool) async throws {
        let world = TestWorld()
        let (sound, deaf) = (Pager(), Pager(failing: .max))
        let monitor = isFirst ? monitor(world, deaf, sound) : monitor(world, sound, deaf)
        try await world.run(monitor) {
            for number in 1...2 {
                try await world.letters.capture([letter("\(number)")])
                try await world.advance(by: .seconds(120))
                try await world.letters.discard(.all, note: "")
                try await world.advance(by: .seconds(120))
            }
            #expect(sound.kinds == [.raised, .resolved, .raised, .resolved])
            #expect(deaf.kinds.isEmpty)
            // Once mended, it hears of what is so now.
            deaf.failures.withLock { $0 = 0 }
            try await world.advance(by: .seconds(60))
            #expect(deaf.kinds == [.resolved])
            try await world.letters.capture([letter("3")])
            try await world.advance(by: .seconds(60))
            #expect(deaf.kinds == [.resolved, .raised])
            #expect(sound.kinds.count == 5)
            _ = try await world.deadLetters()
        }
    }

    @Test func aSinkIsNotToldOfAnAlertBehindItsEndBecauseAnotherIsSlow() async throws {
        let world = TestWorld()
        let (sound, slow) = (Pager(), Pager(after: .seconds(200)))
        let (first, second) = (monitor(world, slow, sound), monitor(world, Pager(), sound))
        try await world.run {
            try await world.letters.capture([letter("1")])
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await first.check() }
                try await world.advance(by: .seconds(100))
                try await world.letters.discard(.all, note: "")
                try await second.check()
                try await world.advance(by: .seconds(200))
                while try await group.next() != nil {}
            }
            #expect(slow.kinds == [.raised])
            #expect(sound.kinds == [.resolved])
        }
    }

    @Test(
        arguments: .simulated(seeds: 30, crashes: CrashPlan(atEffects: 0.2, downtime: .zero ... .seconds(20), most: 15))
    )
    func aMonitorThatCrashesTellsAllTheSame(world: TestWorld) async throws {
        let pager = Pager()
        let letters = DeadLetterQueue(in: world.database(named: "monitor"))
        world.add("monitor") { node in
            AlertMonitor(DeadLetterQueue(in: node.database), service: "shop", sinks: [pager])
        }
        try await world.run {
            try await letters.capture([letter("1")])
            try await world.advance(by: .seconds(1200))
            try await letters.discard(.all, note: "")
            try await world.advance(by: .seconds(1200))
            // Each at least once, in this order, and under one identifier.
            #expect(Set(pager.kinds) == [.raised, .resolved])
            #expect(pager.kinds == pager.kinds.filter { $0 == .raised } + pager.kinds.filter { $0 == .resolved })
            #expect(Set(pager.alerts.all.map(\.id)).count == 1)
        }
    }
}
