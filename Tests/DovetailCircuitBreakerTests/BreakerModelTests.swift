// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Testing

@testable import DovetailCircuitBreaker

/// The breaker with its words, locks and windows against a model that keeps every call in a list and recounts.
///
/// Both live through the same random history; the seed is the argument of the case that fails.
@Suite("A circuit breaker agrees with a model of it")
struct BreakerModelTests {
    /// What a breaker is, without regard to speed.
    private struct Model {
        struct Call {
            let at: Int64
            let isFailure: Bool
            let isSlow: Bool
        }
        enum State: Equatable { case closed, open, halfOpen, forcedOpen, disabled, metricsOnly }

        let settings: CircuitBreakerSettings
        let window: (count: Int?, width: Int64, buckets: Int64)
        let wait: (Int) -> Int64
        var state = State.closed
        /// Which state a ticket is of.
        var era = 0
        var calls: [Call] = []
        var openUntil: Int64 = 0
        /// Since when there has been a probe under way at each moment.
        var probedSince: Int64?
        var attempt = 0
        var inFlight = 0
        var log: [String] = []

        mutating func enter(_ new: State) {
            if new != state { log.append("\(state)>\(new)") }
            state = new
            era += 1
            calls = []
            inFlight = 0
            probedSince = nil
            if new == .closed { attempt = 0 }
        }

        mutating func open(at: Int64) {
            openUntil = at + wait(attempt)
            attempt += 1
            enter(.open)
        }

        mutating func pass(_ now: Int64) {
            while true {
                if state == .open, now >= openUntil {
                    enter(.halfOpen)
                } else if let since = probedSince, now - since >= settings.longestHalfOpen.nanoseconds {
                    if settings.overdueProbes == .close {
                        enter(.closed)
                    } else {
                        open(at: since + settings.longestHalfOpen.nanoseconds)
                    }
                } else {
                    return
                }
            }
        }

        func counted(_ now: Int64) -> [Call] {
            if state == .halfOpen { return calls }
            if let count = window.count { return calls.suffix(count) }
            let bucket = now / window.width
            return calls.filter { $0.at / window.width > bucket - window.buckets }
        }

        mutating func admit(_ now: Int64) -> Int? {
            pass(now)
            switch state {
            case .closed, .disabled, .metricsOnly: return era
            case .open, .forcedOpen: return nil
            case .halfOpen:
                guard inFlight + calls.count < settings.probes else { return nil }
                inFlight += 1
                probedSince = probedSince ?? now
                return era
            }
        }

        mutating func settle(_ ticket: Int, _ outcome: CallOutcome, isSlow: Bool, _ now: Int64) {
            if state == .halfOpen, ticket == era { pass(now) }
            guard ticket == era else { return }
            if state == .halfOpen {
                inFlight -= 1
                if inFlight == 0 { probedSince = nil }
            }
            guard outcome != .neutral, state != .disabled else { return }
            calls.append(Call(at: now, isFailure: outcome == .failure, isSlow: isSlow))
            let counted = counted(now)
            let (failures, slow) = (counted.count { $0.isFailure }, counted.count { $0.isSlow })
            if state == .closed {
                let streak = calls.reversed().prefix { $0.isFailure }.count
                let minimum = min(settings.minimumCalls, window.count ?? .max)
                let isEnough = counted.count >= minimum
                // Parts per million, in whole numbers.
                let tooMany = isEnough && failures * 1_000_000 >= Int(settings.failureRate! * 1_000_000) * counted.count
                let tooSlow = isEnough && slow * 1_000_000 >= Int(settings.slowCallRate! * 1_000_000) * counted.count
                if tooMany || tooSlow || streak >= settings.consecutiveFailures! { open(at: now) }
            } else if state == .halfOpen {
                let remaining = settings.probes - counted.count
                func decided(_ part: Int, _ rate: Double) -> Bool? {
                    let threshold = Int(rate * 1_000_000) * settings.probes
                    if part * 1_000_000 >= threshold { return true }
                    return (part + remaining) * 1_000_000 < threshold ? false : nil
                }
                let (failed, slowed) = (decided(failures, settings.failureRate!), decided(slow, settings.slowCallRate!))
                if failed == true || slowed == true { open(at: now) }
                if failed == false, slowed == false { enter(.closed) }
            }
        }
    }

    @Test("over random histories of calls, times and commands", arguments: 0..<150)
    func randomHistories(seed: UInt64) throws {
        let random = SeededRandom(seed: seed)
        func pick(_ range: ClosedRange<Int>) -> Int { range.lowerBound + Int(random.next() % UInt64(range.count)) }
        let rates = [0.25, 0.4, 0.5, 0.75, 1]
        let waits = (0..<4).map { _ in Int64(pick(0...60)) }
        let buckets = pick(1...6)
        let width = Int64(pick(1...40))
        let count = random.chance(0.5) ? pick(1...90) : nil
        var settings = CircuitBreakerSettings(
            window: count.map { .count($0) } ?? .time(.nanoseconds(width * Int64(buckets)), buckets: buckets),
            minimumCalls: pick(1...30), failureRate: rates[pick(0...4)], slowCall: .nanoseconds(10),
            slowCallRate: rates[pick(0...4)], consecutiveFailures: random.chance(0.5) ? pick(2...8) : 1_000,
            openWait: .byAttempt { .nanoseconds(waits[$0 % 4]) }, probes: pick(1...6),
            longestHalfOpen: .nanoseconds(pick(1...80)))
        settings.overdueProbes = random.chance(0.3) ? .close : .open
        let rig = Rig(settings)
        var model = Model(
            settings: settings, window: (count, width, Int64(buckets)), wait: { waits[$0 % 4] })
        let failing = [0.05, 0.3, 0.6][pick(0...2)]
        var now: Int64 = 0
        var underWay: [(held: Held, ticket: Int, since: Int64)] = []
        for step in 0..<800 {
            if random.chance(0.5) {
                let hop = Int64(pick(0...(random.chance(0.1) ? 100 : 6)))
                now += hop
                rig.time.advance(by: .nanoseconds(hop))
            }
            if random.chance(0.5) || underWay.isEmpty {
                let held = try? Held(rig.breaker)
                let ticket = model.admit(now)
                #expect((held == nil) == (ticket == nil), "step \(step)")
                if let held, let ticket { underWay.append((held, ticket, now)) }
            } else {
                let call = underWay.remove(at: pick(0...(underWay.count - 1)))
                let outcome: CallOutcome = random.chance(0.1) ? .neutral : random.chance(failing) ? .failure : .success
                model.settle(call.ticket, outcome, isSlow: now - call.since > 10, now)
                switch outcome {
                case .success: call.held.succeed()
                case .failure: call.held.fail()
                case .neutral: call.held.release()
                }
            }
            if random.chance(0.004) { command(pick(0...3), rig, &model, now) }
            if random.chance(0.3) { compare(rig, model, now, "step \(step)") }
            guard step % 40 != 39 || rig.events.transitions == model.log.map(named) else {
                Issue.record("step \(step): \(rig.events.transitions.suffix(3)) instead of \(model.log.suffix(3))")
                return
            }
        }
    }

    private func command(_ which: Int, _ rig: Rig, _ model: inout Model, _ now: Int64) {
        switch which {
        case 0:
            rig.breaker.open(for: .nanoseconds(30))
            model.openUntil = now + 30
            model.enter(.open)
        case 1:
            rig.breaker.reset()
            model.enter(.closed)
        case 2:
            try? rig.breaker.transition(to: .disabled)
            model.enter(.disabled)
            try? rig.breaker.transition(to: .closed)
            model.enter(.closed)
        default:
            try? rig.breaker.transition(to: .forcedOpen)
            model.enter(.forcedOpen)
            try? rig.breaker.transition(to: .closed)
            model.enter(.closed)
        }
    }

    private func compare(_ rig: Rig, _ original: Model, _ now: Int64, _ where: Comment) {
        var model = original
        let rejects = model.admit(now) == nil
        #expect((rig.breaker.peek() != nil) == rejects, `where`)
        model = original
        model.pass(now)
        #expect(rig.state.description == named("\(model.state)"), `where`)
        guard model.state == .closed || model.state == .halfOpen else { return }
        let calls = model.counted(now)
        let figures = CallFigures(
            total: calls.count, failures: calls.count { $0.isFailure }, slow: calls.count { $0.isSlow },
            slowFailures: calls.count { $0.isFailure && $0.isSlow })
        #expect(rig.figures == figures, `where`)
    }

    private func named(_ text: String) -> String {
        text.replacing("halfOpen", with: "half-open").replacing("forcedOpen", with: "forced-open")
            .replacing("metricsOnly", with: "metrics-only")
    }

    /// Settles through the word where it may, and through the lock alone.
    @Test("a success counted without the lock leaves what one counted with it leaves", arguments: 0..<100)
    func fastPath(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        let settings = CircuitBreakerSettings(
            window: seed % 2 == 0 ? .count(1 + Int(random.next() % 70)) : .time(.nanoseconds(60), buckets: 6),
            minimumCalls: 1 + Int(random.next() % 40), failureRate: 0.5)
        let rig = Rig(settings)
        var core = BreakerCore(BreakerLimits(settings))
        for step in 0..<500 {
            if random.chance(0.3) { rig.time.advance(by: .nanoseconds(Int(random.next() % 15))) }
            let isFailure = random.chance(0.45)
            guard rig.run(isFailure ? "F" : "S") == 1 else { break }
            let moment = BreakerCore.Moment(now: rig.time.monotonic(), attempt: 0, wait: .seconds(30))
            guard case .done(.permitted(let ticket)) = core.admit(at: moment) else {
                Issue.record("step \(step): only the core rejects")
                return
            }
            let ending = BreakerCore.Ending(outcome: isFailure ? .failure : .success, isSlow: false)
            _ = core.settle(ticket, ending, at: moment)
            var now = core
            _ = now.advance(to: moment)
            #expect(rig.figures == now.figures, "step \(step)")
            #expect(rig.breaker.snapshot().totals == core.totals, "step \(step)")
            #expect(rig.breaker.copyOfCore().streak == core.streak, "step \(step)")
        }
    }

    @Test(
        "more successes than a word holds are all counted",
        arguments: [
            CircuitBreakerSettings.Window.count(1 << 20), .time(.seconds(10)),
        ])
    func fullWord(window: CircuitBreakerSettings.Window) {
        let rig = Rig(CircuitBreakerSettings(window: window))
        let count = AdmissionWord.mostPending * 2 + 5
        for _ in 0..<count { try? rig.breaker.acquire().succeed() }
        #expect(rig.figures == CallFigures(total: count))
        rig.run("F")
        #expect(rig.figures == CallFigures(total: count + 1, failures: 1))
    }

    @Test("a word keeps its parts apart")
    func word() {
        for generation in [0, 1, UInt32.max] {
            for rotation in [0, 1, 4095] as [UInt32] {
                var word = AdmissionWord(
                    generation: generation, rotation: rotation, admits: true, isCounting: true, isDeaf: false)
                for _ in 0..<3 { word = word.addingSuccess ?? word }
                #expect(word.pending == 3)
                #expect(word.generation == generation)
                #expect(word.rotation == rotation)
                let frozen = AdmissionWord(rawValue: word.rawValue & AdmissionWord.frozen)
                #expect(frozen.admits && !frozen.isCounting && !frozen.isDeaf)
                #expect(frozen.pending == 0)
                #expect(frozen.generation == generation)
                #expect(frozen.rotation == rotation)
            }
        }
        var full = AdmissionWord(generation: 7, rotation: 9, admits: true, isCounting: true, isDeaf: false)
        while let next = full.addingSuccess { full = next }
        #expect(full.pending == AdmissionWord.mostPending)
        #expect(full.generation == 7 && full.rotation == 9 && full.admits && full.isCounting)
        #expect(
            AdmissionWord(generation: 0, rotation: 4096, admits: true, isCounting: true, isDeaf: true).generation == 0)
    }
}
