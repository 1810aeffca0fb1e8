// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What happened to one saga, for the person who has to explain it.
///
/// ```swift
/// let history = try await sagas.history(of: "trip-7")
/// try history.html().write(toFile: "trip-7.html", atomically: true, encoding: .utf8)
/// ```
public struct SagaHistory: Sendable, Hashable {
    /// The saga.
    public let id: SagaID

    /// The kind of saga; `nil` if it has been forgotten and only its records are left.
    public let name: String?

    /// How it stands; `nil` if it has been forgotten.
    public let status: SagaStatus?

    /// What people know it by.
    public let businessKey: String?

    /// What happened, oldest first.
    public let records: [SagaRecord]

    /// Creates a history.
    ///
    /// - Parameters:
    ///   - id: The saga.
    ///   - name: The kind of saga.
    ///   - status: How it stands.
    ///   - businessKey: What people know it by.
    ///   - records: What happened, oldest first.
    public init(
        id: SagaID, name: String? = nil, status: SagaStatus? = nil, businessKey: String? = nil, _ records: [SagaRecord]
    ) {
        self.id = id
        self.name = name
        self.status = status
        self.businessKey = businessKey
        self.records = records
    }

    // MARK: For programs

    /// A line of JSON for each record.
    ///
    /// - Returns: The lines, each ended by a line break; what a record does not have is left out.
    public func jsonLines() -> String {
        var bytes: Bytes = []
        for record in records {
            var isFirst = true
            bytes.append(UInt8(ascii: "{"))
            func append(_ key: String, _ value: String?) {
                guard let value else { return }
                JSONWriter.appendKey(key, isFirst: &isFirst, to: &bytes)
                JSONWriter.append(value, to: &bytes)
            }
            append("saga", record.sagaID.rawValue)
            JSONWriter.appendKey("number", isFirst: &isFirst, to: &bytes)
            JSONWriter.append(record.number, to: &bytes)
            append("time", record.time.rfc3339)
            append("kind", record.kind.rawValue)
            append("step", record.step)
            if let attempt = record.attempt {
                JSONWriter.appendKey("attempt", isFirst: &isFirst, to: &bytes)
                JSONWriter.append(Int64(attempt), to: &bytes)
            }
            append("detail", record.detail)
            // Text of JSON, as a redactor may have changed it into something that is none.
            append("payload", record.payload)
            append("author", record.author)
            append("message", record.messageID?.rawValue)
            bytes.append(UInt8(ascii: "}"))
            bytes.append(UInt8(ascii: "\n"))
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    // MARK: Drawn

    /// A sequence diagram in the language of [Mermaid](https://mermaid.js.org/syntax/sequenceDiagram.html).
    ///
    /// - Returns: The text of the diagram.
    public func mermaid() -> String {
        var steps: [String] = []
        for step in records.compactMap(\.step) where !steps.contains(step) { steps.append(step) }
        var lines = ["sequenceDiagram", "    participant saga as \(DiagramText.mermaid(name ?? id.rawValue))"]
        lines += steps.enumerated().map { "    participant s\($0.offset + 1) as \(DiagramText.mermaid($0.element))" }
        for record in records {
            let step = record.step.flatMap { steps.firstIndex(of: $0) }.map { "s\($0 + 1)" }
            lines.append("    " + Self.line(record, step))
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func line(_ record: SagaRecord, _ step: String?) -> String {
        let detail = record.detail.map { ": \($0)" } ?? ""
        let attempt = record.attempt.flatMap { $0 > 1 ? " (attempt \($0))" : nil } ?? ""
        let text = DiagramText.mermaid("\(record.kind)\(attempt)\(detail)", atMost: 160)
        guard let step else { return "Note over saga: \(text)" }
        switch record.kind {
        case .stepStarted, .undoStarted, .asked, .waiting, .sleeping: return "saga->>\(step): \(text)"
        case .stepDone, .undone, .received: return "\(step)-->>saga: \(text)"
        case .stepFailed, .stepRefused, .undoFailed, .waitedInVain: return "\(step)--xsaga: \(text)"
        default: return "Note over saga,\(step): \(text)"
        }
    }
}
