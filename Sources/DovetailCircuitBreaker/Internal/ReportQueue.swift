// SPDX-License-Identifier: Apache-2.0

/// Changes that are to be told, in order, and who is to be told of them.
struct ReportQueue: Sendable {
    struct Listener: Sendable {
        let id: UInt64
        let body: @Sendable (CircuitBreakerTransitioned) -> Void
    }

    private struct Content: Sendable {
        var waiting: [BreakerChange] = []
        var listeners: [Listener] = []
        var lastID: UInt64 = 0
        /// Whether a task is telling.
        var isTelling = false
    }

    /// One or none: most breakers never have anything to tell.
    private var content: [Content] = []

    /// Takes changes up, unless nobody listens.
    ///
    /// - Returns: Whether the caller must tell of them, beginning with ``next()``; if not, another task does.
    mutating func add(_ changes: [BreakerChange], isHeard: Bool) -> Bool {
        guard !changes.isEmpty, isHeard || content.first?.listeners.isEmpty == false else { return false }
        if content.isEmpty { content.append(Content()) }
        content[0].waiting += changes
        defer { content[0].isTelling = true }
        return !content[0].isTelling
    }

    /// What is to be told next and to whom; `nil` if that was all.
    mutating func next() -> ([BreakerChange], [Listener])? {
        guard let waiting = content.first?.waiting, !waiting.isEmpty else {
            if !content.isEmpty { content[0].isTelling = false }
            return nil
        }
        content[0].waiting = []
        return (waiting, content[0].listeners)
    }

    mutating func listen(_ body: @escaping @Sendable (CircuitBreakerTransitioned) -> Void) -> UInt64 {
        if content.isEmpty { content.append(Content()) }
        content[0].lastID += 1
        content[0].listeners.append(Listener(id: content[0].lastID, body: body))
        return content[0].lastID
    }

    /// - Returns: The listener that was taken out.
    mutating func stopListening(_ id: UInt64) -> Listener? {
        guard let index = content.first?.listeners.firstIndex(where: { $0.id == id }) else { return nil }
        return content[0].listeners.remove(at: index)
    }
}
