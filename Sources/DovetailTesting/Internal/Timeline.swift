// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Synchronization

/// Remembers what happened last, to be read when a test fails.
final class Timeline: Instrument {
    private struct Entry: Sendable {
        let instant: MonotonicInstant
        let event: any InstrumentEvent
    }

    private struct State: Sendable {
        var entries: [Entry] = []
        var time: VirtualTime?
        var other: (any Instrument)?
    }

    private static let mostEntries = 2000
    private let state: Mutex<State>

    init(alsoTelling other: (any Instrument)?) {
        state = Mutex(State(other: other))
    }

    /// Sets the clock, which is made after the instrument.
    func use(_ time: VirtualTime) {
        state.withLock { $0.time = time }
    }

    func record<E: InstrumentEvent>(_ event: E) {
        let other = state.withLock { state in
            let instant = state.time?.monotonic() ?? MonotonicInstant(nanoseconds: 0)
            state.entries.append(Entry(instant: instant, event: event))
            if state.entries.count >= 2 * Self.mostEntries { state.entries.removeFirst(Self.mostEntries) }
            return state.other
        }
        other?.record(event)
    }

    /// What happened, oldest first, a line each.
    func lines(last count: Int = mostEntries) -> [String] {
        let entries = state.withLock { $0.entries.suffix(count) }
        return entries.map { Self.line(for: $0.event, at: $0.instant) }
    }

    private static func line(for event: any InstrumentEvent, at instant: MonotonicInstant) -> String {
        var line = "+\(seconds(instant)) \(Swift.type(of: event).name)"
        func add(_ name: StaticString, _ value: String) { line += " \(name)=\(value)" }
        event.visitDimensions(add)
        event.visitDetails(add)
        return line
    }

    /// Seconds with three decimals.
    private static func seconds(_ instant: MonotonicInstant) -> String {
        let milliseconds = instant.nanoseconds / 1_000_000
        let rest = String(milliseconds % 1000)
        return "\(milliseconds / 1000).\(String(repeating: "0", count: 3 - rest.count))\(rest)s"
    }
}
