// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailResilience
import DovetailSimulation
import Synchronization

/// Keeps what it is given from any task, in order.
final class Kept<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])
    func add(_ value: Value) { values.withLock { $0.append(value) } }
    var all: [Value] { values.withLock { $0 } }
}

typealias Log = Kept<String>

/// Counts calls from any task.
final class Calls: Sendable {
    private let value = Mutex(0)
    @discardableResult
    func add() -> Int {
        value.withLock {
            $0 += 1
            return $0
        }
    }
    var count: Int { value.withLock { $0 } }
}

/// A guard that only writes down when it is entered and left.
struct Noting: Guard {
    let name: String
    let log: Log
    func call<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
        log.add("into \(name)")
        defer { log.add("out of \(name)") }
        return try await body()
    }
}

/// An error that nothing is known of.
struct Broken: Error, Equatable {
    var attempt = 0
}

/// An error that does not pass.
struct Declined: ClassifiedError {
    var failureClass: FailureClass { .permanent }
}

/// An error that says when to come back.
struct Busy: RetryAfterProviding {
    let retryAfter: Duration?
}

/// Keeps all events it hears of.
final class Recorder: Instrument {
    private let events = Mutex<[any InstrumentEvent]>([])
    func record<E: InstrumentEvent>(_ event: E) { events.withLock { $0.append(event) } }
    func all<E: InstrumentEvent>(_ type: E.Type = E.self) -> [E] { events.withLock { $0 }.compactMap { $0 as? E } }
}

/// What came of a call, for comparisons.
enum Outcome<Value: Sendable & Hashable>: Sendable, Hashable {
    case value(Value)
    case broken
    case cancelled
    case timedOut
    case other

    init(of call: () async throws -> Value) async {
        do {
            self = .value(try await call())
        } catch is CancellationError {
            self = .cancelled
        } catch is Broken {
            self = .broken
        } catch let error as ResilienceError where error.code == .timedOut {
            self = .timedOut
        } catch {
            self = .other
        }
    }
}

/// The clock of the simulation that runs.
var time: any TimeSource { Runtime.current.time }
