// SPDX-License-Identifier: Apache-2.0

/// A part of a service that can say how it fares.
///
/// ```swift
/// extension PriceFeed: HealthReporting {
///     func health() async throws -> Health { Health(breakers: ["prices": breaker.state.description]) }
/// }
/// ```
public protocol HealthReporting: Sendable {
    /// Reports how the part fares.
    ///
    /// - Returns: What it knows.
    /// - Throws: Anything: the part then counts as unhealthy for that reason.
    func health() async throws -> Health
}

extension Health {
    /// Asks all parts of a service at once and puts their reports together.
    ///
    /// A part that throws becomes an entry of ``problems``, and the others are still heard.
    ///
    /// - Parameters:
    ///   - parts: The parts by their names.
    ///   - runtime: Whose redactor the reasons pass; the current task's if `nil`.
    /// - Returns: The report of all.
    public static func gathering(_ parts: [String: any HealthReporting], runtime: Runtime? = nil) async -> Health {
        let runtime = runtime ?? .current
        return await withTaskGroup(of: Health.self) { group in
            for (name, part) in parts {
                group.addTask {
                    do {
                        return try await part.health()
                    } catch {
                        let reason = FailureDetail(error, of: nil, runtime: runtime).message
                        return Health(problems: [name: reason])
                    }
                }
            }
            var health = Health()
            for await report in group { health = health.merging(report) }
            return health
        }
    }

    /// The report as a JSON object, with its verdict.
    ///
    /// Times are in seconds; what is not known is left out; names are sorted.
    ///
    /// - Parameter thresholds: What may be shown, see ``status(_:)``.
    /// - Returns: The text, such as
    ///   `{"status":"degraded","relayLagSeconds":0.2,"parked":0,"deadLetters":1,"breakers":{},"problems":{}}`.
    public func json(_ thresholds: Thresholds = Thresholds()) -> String {
        var bytes = Bytes()
        JSONWriter.append(literal: #"{"status":"#, to: &bytes)
        JSONWriter.append(status(thresholds).rawValue, to: &bytes)
        for (name, value) in [("relayLagSeconds", relayLag), ("oldestUnsentSeconds", oldestUnsent)] {
            guard let value else { continue }
            var isFirst = false
            JSONWriter.appendKey(name, isFirst: &isFirst, to: &bytes)
            bytes.append(contentsOf: "\(value.inSeconds)".utf8)
        }
        JSONWriter.append(literal: #","parked":"#, to: &bytes)
        JSONWriter.append(Int64(parked), to: &bytes)
        JSONWriter.append(literal: #","deadLetters":"#, to: &bytes)
        JSONWriter.append(Int64(deadLetters), to: &bytes)
        for (name, entries) in [("breakers", breakers), ("problems", problems)] {
            var isFirst = false
            JSONWriter.appendKey(name, isFirst: &isFirst, to: &bytes)
            bytes.append(UInt8(ascii: "{"))
            isFirst = true
            for (key, value) in entries.sorted(by: { $0.key < $1.key }) {
                JSONWriter.appendKey(key, isFirst: &isFirst, to: &bytes)
                JSONWriter.append(value, to: &bytes)
            }
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: "}"))
        return String(decoding: bytes, as: UTF8.self)
    }
}
