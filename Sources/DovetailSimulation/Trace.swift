// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// What happened in a run, in the order in which it happened: every event and every fault, with the virtual time and the service.
///
/// The same seed has the same trace, to the last byte.
public final class Trace: Instrument {
    enum Content: Sendable {
        case event(any InstrumentEvent)
        case fault(Fault)
        case note(String)
    }

    struct Entry: Sendable {
        let instant: MonotonicInstant
        /// The service whose code it was; `nil` for what the world or the test did.
        let service: String?
        let content: Content
    }

    private struct State: Sendable {
        var entries: [Entry] = []
        var dropped = 0
        var time: VirtualTime?
        var other: (any Instrument)?
        /// Its world keeps it, and it keeps this trace.
        weak var ledger: MessageLedger?
    }

    /// How many entries are kept, the newest ones.
    public let capacity: Int

    private let state: Mutex<State>

    /// Creates a trace of nothing.
    ///
    /// - Parameters:
    ///   - other: Hears of every event as well.
    ///   - capacity: How many entries are kept, the newest ones.
    public init(alsoTelling other: (any Instrument)? = nil, capacity: Int = 2000) {
        self.capacity = max(1, capacity)
        state = Mutex(State(other: other))
    }

    /// Sets the clock, which is made after the instrument.
    func use(_ time: VirtualTime, _ ledger: MessageLedger) {
        state.withLock { state in
            state.time = time
            state.ledger = ledger
        }
    }

    /// Keeps an event.
    ///
    /// - Parameter event: The event.
    public func record<E: InstrumentEvent>(_ event: E) {
        let (other, ledger) = add(.event(event))
        ledger?.heard(event)
        other?.record(event)
    }

    func note(_ fault: Fault) { _ = add(.fault(fault)) }

    /// Writes a line of the world's or the test's own.
    func note(_ text: String) { _ = add(.note(text)) }

    private func add(_ content: Content) -> ((any Instrument)?, MessageLedger?) {
        let service = Incarnation.current?.service
        return state.withLock { state in
            let instant = state.time?.monotonic() ?? MonotonicInstant(nanoseconds: 0)
            state.entries.append(Entry(instant: instant, service: service, content: content))
            if state.entries.count >= 2 * capacity {
                state.entries.removeFirst(capacity)
                state.dropped += capacity
            }
            return (state.other, state.ledger)
        }
    }

    /// How many entries there were, those included that are no longer kept.
    public var count: Int { state.withLock { $0.entries.count + $0.dropped } }

    var entries: [Entry] { state.withLock(\.entries) }

    /// What happened, oldest first, a line each.
    ///
    /// - Parameter count: The most lines, the newest ones; all that are kept if `nil`.
    /// - Returns: The lines.
    public func lines(last count: Int? = nil) -> [String] {
        let entries = state.withLock { $0.entries.suffix(count ?? capacity) }
        return entries.map { Self.line(for: $0) }
    }

    private static func line(for entry: Entry) -> String {
        var line = "+\(seconds(entry.instant))"
        if let service = entry.service { line += " [\(service)]" }
        switch entry.content {
        case .event(let event):
            line += " \(Swift.type(of: event).name)"
            func add(_ name: StaticString, _ value: String) { line += " \(name)=\(value)" }
            event.visitDimensions(add)
            event.visitDetails(add)
        case .fault(let fault): line += " FAULT \(fault)"
        case .note(let text): line += " \(text)"
        }
        return line
    }

    /// Seconds with three decimals.
    static func seconds(_ instant: MonotonicInstant) -> String {
        let milliseconds = instant.nanoseconds / 1_000_000
        let rest = String(milliseconds % 1000)
        return "\(milliseconds / 1000).\(String(repeating: "0", count: 3 - rest.count))\(rest)s"
    }
}
