// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Posts alerts as JSON to an address.
///
/// ```swift
/// let sink = try WebhookAlertSink("https://hooks.example.org/alerts", headers: ["Authorization": "Bearer \(token)"])
/// ```
///
/// The answer must be one of success. No answer, 408, 429 and those of 500 and above are tried again, after what the answer asks for in
/// `Retry-After`; any other is a failure at once.
public struct WebhookAlertSink: AlertSink {
    private let post: HTTPPost

    /// Creates a sink.
    ///
    /// - Parameters:
    ///   - address: Where to post, with `https` or `http`.
    ///   - headers: Added to each request.
    ///   - retry: How often to try; four times within some seconds unless given.
    ///   - timeout: How long to wait for an answer.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/invalidRequest`` if the address is none.
    public init(
        _ address: String, headers: [String: String] = [:],
        retry: any RetryPolicy = .exponential(from: .milliseconds(500), upTo: .seconds(10), attempts: 4),
        timeout: Duration = .seconds(10)
    ) throws {
        post = try HTTPPost(address, headers: headers, retry: retry, timeout: timeout)
    }

    /// Posts an alert.
    ///
    /// - Parameter alert: The alert.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/alertNotSent``; `CancellationError`.
    public func send(_ alert: DeadLetterAlert) async throws {
        // The same key for each attempt, so that the other side can tell a repeat.
        try await post.send(
            alert.json, headers: ["Idempotency-Key": "\(alert.id)-\(alert.kind.rawValue)-\(alert.time.rfc3339)"])
    }
}

/// Opens and resolves incidents in PagerDuty, by its Events API v2.
///
/// ```swift
/// let pager = try PagerDutyAlertSink(routingKey: key)
/// ```
///
/// The deduplication key is that of the alert, so one that is sent twice is one incident.
public struct PagerDutyAlertSink: AlertSink {
    /// Where PagerDuty takes events.
    public static let standardAddress = "https://events.pagerduty.com/v2/enqueue"

    /// The most bytes of a summary that PagerDuty takes.
    private static let mostSummaryBytes = 1024

    private let post: HTTPPost
    private let routingKey: String

    /// Creates a sink.
    ///
    /// - Parameters:
    ///   - routingKey: The integration key of the service in PagerDuty.
    ///   - address: Where PagerDuty takes events.
    ///   - retry: How often to try; four times within some seconds unless given.
    ///   - timeout: How long to wait for an answer.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/invalidRequest`` if the address is none or the key is empty.
    public init(
        routingKey: String, address: String = PagerDutyAlertSink.standardAddress,
        retry: any RetryPolicy = .exponential(from: .milliseconds(500), upTo: .seconds(10), attempts: 4),
        timeout: Duration = .seconds(10)
    ) throws {
        guard !routingKey.isEmpty else {
            throw DeadLetterError(
                .invalidRequest, "The routing key is empty. Take that of an integration of the service in PagerDuty.")
        }
        self.routingKey = routingKey
        post = try HTTPPost(address, headers: [:], retry: retry, timeout: timeout)
    }

    /// Opens or resolves an incident.
    ///
    /// - Parameter alert: The alert.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/alertNotSent``; `CancellationError`.
    public func send(_ alert: DeadLetterAlert) async throws {
        try await post.send(body(of: alert))
    }

    func body(of alert: DeadLetterAlert) -> Bytes {
        var bytes: Bytes = [UInt8(ascii: "{")]
        var isFirst = true
        func add(_ key: String, _ value: String) {
            JSONWriter.appendKey(key, isFirst: &isFirst, to: &bytes)
            JSONWriter.append(value, to: &bytes)
        }
        add("routing_key", routingKey)
        add("event_action", alert.kind == .raised ? "trigger" : "resolve")
        add("dedup_key", alert.id)
        if alert.kind == .raised {
            add("client", "Dovetail")
            JSONWriter.appendKey("payload", isFirst: &isFirst, to: &bytes)
            bytes.append(UInt8(ascii: "{"))
            isFirst = true
            add("summary", alert.summary.cut(toBytes: Self.mostSummaryBytes))
            add("source", alert.service)
            add("severity", alert.rule.severity.rawValue)
            add("timestamp", alert.time.rfc3339)
            add("component", alert.group?.consumer ?? alert.service)
            add("group", alert.queue.rawValue)
            if let group = alert.group { add("class", group.reason.rawValue) }
            JSONWriter.appendKey("custom_details", isFirst: &isFirst, to: &bytes)
            JSONWriter.append(raw: alert.json, to: &bytes)
            bytes.append(UInt8(ascii: "}"))
        }
        bytes.append(UInt8(ascii: "}"))
        return bytes
    }
}

extension String {
    /// The beginning that has at most so many bytes.
    fileprivate func cut(toBytes most: Int) -> String {
        var (text, count) = ("", 0)
        for scalar in unicodeScalars {
            count += UTF8.width(scalar)
            if count > most { break }
            text.unicodeScalars.append(scalar)
        }
        return text
    }
}
