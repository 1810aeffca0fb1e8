// SPDX-License-Identifier: Apache-2.0

import DovetailCircuitBreaker
import DovetailCore
import DovetailSimulation
import Synchronization
import Testing

struct Broken: Error, Equatable {
    var number = 0
}

/// What happened, in the order in which it happened.
final class Log<Element: Sendable>: Sendable {
    private let elements = Mutex<[Element]>([])

    var all: [Element] { elements.withLock { $0 } }
    var count: Int { elements.withLock { $0.count } }

    func add(_ element: Element) {
        elements.withLock { $0.append(element) }
    }
}

/// Keeps every event.
final class EventLog: Instrument {
    private let events = Log<any InstrumentEvent>()

    func record<E: InstrumentEvent>(_ event: E) { events.add(event) }

    func of<E: InstrumentEvent>(_ type: E.Type) -> [E] { events.all.compactMap { $0 as? E } }

    /// The transitions, such as `closed>open`.
    var transitions: [String] { of(CircuitBreakerTransitioned.self).map { "\($0.from)>\($0.to)" } }
}

/// A permit that is settled later.
final class Held {
    private var permit: CircuitBreaker.Permit?

    init(_ breaker: CircuitBreaker) throws {
        permit = try breaker.acquire()
    }

    func succeed() { if let permit = permit.take() { permit.succeed() } }
    func fail(_ error: (any Error)? = Broken()) { if let permit = permit.take() { permit.fail(error) } }
    func release() { if let permit = permit.take() { permit.release() } }
}

/// A breaker on a clock that the test moves, with a log of its events.
struct Rig {
    let time = VirtualTime()
    let events = EventLog()
    let runtime: Runtime
    let breaker: CircuitBreaker

    init(
        _ settings: CircuitBreakerSettings = CircuitBreakerSettings(), state: CircuitBreakerState = .closed,
        classifier: OutcomeClassifier = OutcomeClassifier()
    ) {
        runtime = Runtime(time: time, random: SeededRandom(seed: 1), instrument: events)
        breaker = CircuitBreaker("prices", settings, state: state, classifier: classifier, runtime: runtime)
    }

    var state: CircuitBreakerState { breaker.state }
    var figures: CallFigures { breaker.snapshot().figures }

    /// Makes calls: `S` succeeds, `F` fails, `N` says nothing, `s` and `f` are slow by a nanosecond.
    ///
    /// - Returns: How many were let through.
    @discardableResult
    func run(_ calls: String) -> Int {
        var made = 0
        for call in calls {
            do throws(CircuitBreakerError) {
                let permit = try breaker.acquire()
                made += 1
                if call.isLowercase { time.advance(by: (breaker.settings.slowCall ?? .zero) + .nanoseconds(1)) }
                switch call {
                case "S", "s": permit.succeed()
                case "F", "f": permit.fail(Broken(number: made))
                default: permit.release()
                }
            } catch {
                continue
            }
        }
        return made
    }

    func repeated(_ call: String, _ times: Int) -> Int {
        run(String(repeating: call, count: times))
    }

    /// Opens a breaker that is closed, by as many failures as it takes.
    func trip(sourceLocation: SourceLocation = #_sourceLocation) {
        for _ in 0..<10_000 where breaker.state == .closed { run("F") }
        #expect(breaker.state == .open, sourceLocation: sourceLocation)
    }
}

/// A value that several tasks change.
final class Shared<Value: Sendable>: Sendable {
    private let storage: Mutex<Value>

    init(_ value: Value) { storage = Mutex(value) }

    var value: Value { storage.withLock { $0 } }

    func change(_ body: @Sendable (inout Value) -> Void) { storage.withLock { body(&$0) } }
}
