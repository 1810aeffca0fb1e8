// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// Keeps what it is given, in order.
final class Kept<Value: Sendable>: Sendable {
    private let values = Mutex<[Value]>([])

    var all: [Value] { values.withLock { $0 } }

    func add(_ value: Value) { values.withLock { $0.append(value) } }
}

/// An event with whatever a test needs.
struct Probe: InstrumentEvent {
    static let name = "probe.event"
    var count = 1
    var duration: Duration?
    var dimensions: [(StaticString, String)] = []
    var details: [(StaticString, String)] = []
    var onDetails: @Sendable () -> Void = {}

    func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        for (name, value) in dimensions { visit(name, value) }
    }

    func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        onDetails()
        for (name, value) in details { visit(name, value) }
    }
}

/// A clock that stands still, and whose sleeps end at once until it has enough.
final class StoppedTime: TimeSource {
    private let sleeps: Mutex<Int>
    private let instant: Timestamp

    init(at instant: String = "2026-03-01T09:30:00.25Z", sleeps: Int = 0) {
        self.instant = Timestamp(rfc3339: instant) ?? .earliest
        self.sleeps = Mutex(sleeps)
    }

    func now() -> Timestamp { instant }

    func monotonic() -> MonotonicInstant { MonotonicInstant(nanoseconds: 0) }

    func sleep(until deadline: MonotonicInstant) async throws {
        let mayGoOn = sleeps.withLock { sleeps in
            sleeps -= 1
            return sleeps >= 0
        }
        if !mayGoOn { throw CancellationError() }
    }
}

/// Replaces digits and keeps what it was asked.
struct NoDigits: Redactor {
    let asked = Kept<(text: String, type: MessageType?)>()

    func redact(_ text: String, of type: MessageType?) -> String {
        asked.add((text, type))
        return String(text.map { $0.isNumber ? "*" : $0 })
    }
}

/// Keeps the names of all events.
struct Names: Instrument {
    let kept = Kept<String>()

    func record<E: InstrumentEvent>(_ event: E) { kept.add(E.name) }
}
