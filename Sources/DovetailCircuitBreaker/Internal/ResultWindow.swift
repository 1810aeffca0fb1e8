// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The calls that count.
enum ResultWindow: Sendable {
    case count(CountWindow)
    case time(TimeWindow)

    init(_ window: CircuitBreakerSettings.Window) {
        switch window.kind {
        case .count(let calls): self = .count(CountWindow(size: calls))
        case .time(let span, let buckets): self = .time(TimeWindow(span: span, buckets: buckets))
        }
    }

    var counts: CallCounts {
        switch self {
        case .count(let window): window.counts
        case .time(let window): window.counts
        }
    }

    /// The most calls it holds; `nil` if only time limits it.
    var size: Int? {
        if case .count(let window) = self { window.size } else { nil }
    }

    /// Until when calls can be added without a look at the window; `nil` if time is nothing to it.
    var end: MonotonicInstant? {
        if case .time(let window) = self { window.end } else { nil }
    }

    var isEmpty: Bool { counts.total == 0 }

    /// The counts once a call is added.
    func counts(adding call: CountedCall) -> CallCounts {
        var counts = counts
        if case .count(let window) = self, let oldest = window.oldest { counts.remove(oldest) }
        counts.add(call)
        return counts
    }

    mutating func advance(to now: MonotonicInstant) {
        guard case .time = self, case .time(var window) = take() else { return }
        window.advance(to: now)
        self = .time(window)
    }

    mutating func add(_ call: CountedCall) {
        switch take() {
        case .count(var window):
            window.add(call)
            self = .count(window)
        case .time(var window):
            window.add(call)
            self = .time(window)
        }
    }

    mutating func add(plain count: Int) {
        guard count > 0 else { return }
        switch take() {
        case .count(var window):
            window.add(plain: count)
            self = .count(window)
        case .time(var window):
            window.add(plain: count)
            self = .time(window)
        }
    }

    mutating func clear() {
        switch take() {
        case .count(let window): self = .count(CountWindow(size: window.size))
        case .time(var window):
            window.clear()
            self = .time(window)
        }
    }

    /// Takes the window out, so that it is changed in place rather than as a copy.
    private mutating func take() -> ResultWindow {
        let taken = self
        self = .count(CountWindow(size: 1))
        return taken
    }

    /// The same calls in a window of another size; none of them if the two do not measure alike.
    func changed(to new: CircuitBreakerSettings.Window) -> ResultWindow {
        let changed = ResultWindow(new)
        switch (self, changed) {
        case (.count(let old), .count(let new)): return .count(old.size == new.size ? old : old.resized(to: new.size))
        case (.time(let old), .time(let new)) where old.width == new.width && old.bucketCount == new.bucketCount:
            return self
        default: return changed
        }
    }
}
