// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// There are dead letters that somebody should know of, or there are none any more.
public struct DeadLetterAlert: Sendable, Hashable {
    /// Whether it begins or ends.
    public enum Kind: String, Sendable, Hashable {
        /// There are letters.
        case raised

        /// All letters it was about have left.
        case resolved
    }

    /// Names what is wrong: the same from the alert until it is resolved, and whenever it is sent again.
    public let id: String

    /// Whether it begins or ends.
    public let kind: Kind

    /// The rule.
    public let rule: AlertRule

    /// The service whose letters these are.
    public let service: String

    /// The queue.
    public let queue: DeadLetterQueueName

    /// The tier.
    public let tier: DeadLetterTier

    /// How many letters of the rule there are in the queue and tier; of more than a thousand it may say so many, if the rule asks for what
    /// is not counted.
    public let count: Int

    /// The largest of their groups; `nil` if there is none any more.
    public let group: DeadLetterGroup?

    /// When.
    public let time: Timestamp

    /// Creates an alert.
    ///
    /// - Parameters:
    ///   - kind: Whether it begins or ends.
    ///   - rule: The rule.
    ///   - service: The service whose letters these are.
    ///   - queue: The queue.
    ///   - tier: The tier.
    ///   - count: How many letters there are.
    ///   - group: The largest of their groups.
    ///   - time: When.
    public init(
        _ kind: Kind, rule: AlertRule, service: String, queue: DeadLetterQueueName, tier: DeadLetterTier, count: Int,
        group: DeadLetterGroup?, time: Timestamp
    ) {
        self.kind = kind
        self.rule = rule
        self.service = service
        self.queue = queue
        self.tier = tier
        self.count = count
        self.group = group
        self.time = time
        id = DeterministicID.make(
            namespace: "dovetail.dead-letter.alert", [service, rule.name, queue.rawValue, tier.rawValue])
    }

    /// What is wrong, in one line for a person.
    public var summary: String {
        let place = "\(service): dead letters in '\(queue)', tier '\(tier)'"
        guard kind == .raised else { return "\(place): all gone" }
        guard let group else { return "\(place): \(count)" }
        let type = group.type.map { " of \($0)" } ?? ""
        return "\(place): \(count), most: \(group.reason)\(type) by '\(group.consumer)': \(group.failure.type)"
    }

    /// As JSON: what a webhook is sent.
    public var json: Bytes {
        var bytes: Bytes = [UInt8(ascii: "{")]
        var isFirst = true
        func add(_ key: String, _ value: String) {
            JSONWriter.appendKey(key, isFirst: &isFirst, to: &bytes)
            JSONWriter.append(value, to: &bytes)
        }
        add("id", id)
        add("kind", kind.rawValue)
        add("rule", rule.name)
        add("severity", rule.severity.rawValue)
        add("service", service)
        add("queue", queue.rawValue)
        add("tier", tier.rawValue)
        JSONWriter.appendKey("count", isFirst: &isFirst, to: &bytes)
        JSONWriter.append(Int64(count), to: &bytes)
        add("summary", summary)
        add("time", time.rfc3339)
        if let group {
            add("fingerprint", group.id.fingerprint.rawValue)
            add("reason", group.reason.rawValue)
            if let type = group.type { add("type", type.rawValue) }
            add("consumer", group.consumer)
            add("error", group.failure.type)
            add("message", group.failure.message)
            add("example", group.example)
        }
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }
}

/// Takes alerts to people.
///
/// An alert is raised once and resolved once. It is sent again, under the same identifier, if a sink throws or the process ends before
/// it is known to be sent. What a sink throws at may have reached people, so it is told of the end of an alert even if it
/// threw at its beginning.
public protocol AlertSink: Sendable {
    /// Sends an alert.
    ///
    /// - Parameter alert: The alert.
    /// - Throws: What keeps it from being sent; it is sent again later.
    func send(_ alert: DeadLetterAlert) async throws
}

/// Gives alerts to a closure.
///
/// ```swift
/// let monitor = AlertMonitor(letters, sinks: [ClosureAlertSink { alert in await pager.page(alert.summary) }])
/// ```
public struct ClosureAlertSink: AlertSink {
    private let body: @Sendable (DeadLetterAlert) async throws -> Void

    /// Creates a sink.
    ///
    /// - Parameter body: Is given each alert.
    public init(_ body: @escaping @Sendable (DeadLetterAlert) async throws -> Void) {
        self.body = body
    }

    /// Sends an alert.
    ///
    /// - Parameter alert: The alert.
    /// - Throws: What the closure throws.
    public func send(_ alert: DeadLetterAlert) async throws {
        try await body(alert)
    }
}

/// Writes alerts to a log, a line of JSON each.
///
/// ```swift
/// let sink = LogAlertSink { line in logger.error("\(line)") }
/// ```
public struct LogAlertSink: AlertSink {
    private let write: @Sendable (String) -> Void

    /// Creates a sink.
    ///
    /// - Parameter write: Is given each line, without its end.
    public init(_ write: @escaping @Sendable (String) -> Void) {
        self.write = write
    }

    /// Writes an alert.
    ///
    /// - Parameter alert: The alert.
    /// - Throws: Nothing by itself.
    public func send(_ alert: DeadLetterAlert) async throws {
        write(String(decoding: alert.json, as: UTF8.self))
    }
}
