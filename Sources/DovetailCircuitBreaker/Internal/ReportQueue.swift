// SPDX-License-Identifier: Apache-2.0

/// Changes that are to be told, in order, and who is to be told of them.
struct ReportQueue: Sendable {
    struct Listener: Sendable {
        let id: UInt64
        let body: @Sendable (CircuitBreakerTransitioned) -> Void
    }

    private var waiting: [BreakerChange] = []
    private var listeners: [Listener] = []
    private var lastID: UInt64 = 0
    /// Whether a task is telling.
    private var isTelling = false

    /// Takes changes up, unless nobody listens.
    ///
    /// - Returns: Whether the caller must tell of them, beginning with ``next()``; if not, another task does.
    mutating func add(_ changes: [BreakerChange], isHeard: Bool) -> Bool {
        guard !changes.isEmpty, isHeard || !listeners.isEmpty else { return false }
        waiting += changes
        defer { isTelling = true }
        return !isTelling
    }

    /// What is to be told next and to whom; `nil` if that was all.
    mutating func next() -> ([BreakerChange], [Listener])? {
        guard !waiting.isEmpty else {
            isTelling = false
            return nil
        }
        defer { waiting = [] }
        return (waiting, listeners)
    }

    mutating func listen(_ body: @escaping @Sendable (CircuitBreakerTransitioned) -> Void) -> UInt64 {
        lastID += 1
        listeners.append(Listener(id: lastID, body: body))
        return lastID
    }

    /// - Returns: The listener that was taken out.
    mutating func stopListening(_ id: UInt64) -> Listener? {
        guard let index = listeners.firstIndex(where: { $0.id == id }) else { return nil }
        return listeners.remove(at: index)
    }
}
