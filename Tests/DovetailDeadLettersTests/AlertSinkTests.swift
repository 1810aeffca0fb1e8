// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailDeadLetters
import DovetailTesting
import Foundation
import Testing

/// Does not sleep, and remembers for how long it should have.
private struct Impatient: TimeSource {
    let sleeps = Log<Duration>()

    func now() -> Timestamp { .epoch }
    func monotonic() -> MonotonicInstant { MonotonicInstant(nanoseconds: 0) }
    func sleep(until deadline: MonotonicInstant) async throws { sleeps.add(.nanoseconds(deadline.nanoseconds)) }
}

@Suite(.timeLimit(.minutes(10)))
struct AlertSinkTests {
    private let retry = ConstantRetry.constant(.seconds(1), attempts: 4)

    private func alert(_ kind: DeadLetterAlert.Kind = .raised) -> DeadLetterAlert {
        let group = DeadLetterGroup(of: letter("7", queue: "acme", tier: "gold", time: .epoch))
        return DeadLetterAlert(
            kind, rule: AlertRule("any", severity: .critical), service: "shop", queue: "acme", tier: "gold", count: 3,
            group: kind == .raised ? group : nil, time: .epoch)
    }

    private func sending(_ body: () async throws -> Void) async throws -> [Duration] {
        let time = Impatient()
        try await Runtime.$current.withValue(Runtime(time: time)) { try await body() }
        return time.sleeps.all
    }

    @Test func aWebhookIsGivenTheAlertAsJSON() async throws {
        let server = try LoopbackServer(.init(status: 204))
        defer { server.stop() }
        let sink = try WebhookAlertSink(server.address, headers: ["Authorization": "Bearer secret"])
        _ = try await sending { try await sink.send(alert()) }
        let request = try #require(server.requests.first)
        #expect(server.requests.count == 1 && request.line.hasPrefix("POST /hook "))
        #expect(request.headers["authorization"] == "Bearer secret")
        #expect(request.headers["content-type"] == "application/json")
        #expect(request.headers["idempotency-key"]?.hasPrefix(alert().id) == true)
        let json = request.json
        #expect(json["kind"] as? String == "raised" && json["severity"] as? String == "critical")
        #expect(json["queue"] as? String == "acme" && json["tier"] as? String == "gold" && json["count"] as? Int == 3)
        #expect(json["reason"] as? String == "poison" && json["consumer"] as? String == "payments")
        #expect(json["type"] as? String == "shop.order.placed" && json["example"] as? String == "7")
        #expect(json["time"] as? String == "1970-01-01T00:00:00Z")
    }

    @Test func whatMayPassIsTriedAgainAfterWhatTheAnswerAsksFor() async throws {
        let server = try LoopbackServer(
            .none, .init(status: 503), .init(status: 429, headers: ["Retry-After": "7"]), .init(status: 202))
        defer { server.stop() }
        let sink = try WebhookAlertSink(server.address, retry: retry)
        let sleeps = try await sending { try await sink.send(alert()) }
        #expect(server.requests.count == 4)
        #expect(sleeps == [.seconds(1), .seconds(1), .seconds(7)])
        // All attempts are one to the other side.
        #expect(Set(server.requests.map { $0.headers["idempotency-key"] }).count == 1)
    }

    @Test(arguments: [(400, 1), (404, 1), (500, 4)])
    func aRefusalIsAnErrorAtOnceUnlessItMayPass(status: Int, attempts: Int) async throws {
        let server = try LoopbackServer(.init(status: status))
        defer { server.stop() }
        let sink = try WebhookAlertSink(server.address, retry: retry)
        let error = await #expect(throws: DeadLetterError.self) {
            _ = try await sending { try await sink.send(alert()) }
        }
        #expect(error?.code == .alertNotSent && error?.message.contains("\(status)") == true)
        #expect(error?.message.contains("/hook") == false)
        #expect(server.requests.count == attempts)
    }

    @Test func nobodyThereIsAnError() async throws {
        let server = try LoopbackServer()
        server.stop()
        let sink = try WebhookAlertSink(server.address, retry: retry)
        let error = await #expect(throws: DeadLetterError.self) {
            _ = try await sending { try await sink.send(alert()) }
        }
        #expect(error?.code == .alertNotSent)
    }

    @Test(arguments: ["", "no address", "ftp://host/", "https://", "/path"])
    func anAddressThatIsNoneIsRefused(address: String) throws {
        let errors = [
            #expect(throws: DeadLetterError.self) { try WebhookAlertSink(address) },
            #expect(throws: DeadLetterError.self) { try PagerDutyAlertSink(routingKey: "key", address: address) },
            #expect(throws: DeadLetterError.self) { try PagerDutyAlertSink(routingKey: "") },
        ]
        #expect(errors.allSatisfy { $0?.code == .invalidRequest })
    }

    @Test func pagerDutyOpensAndResolvesOneIncident() async throws {
        let server = try LoopbackServer(.init(status: 202))
        defer { server.stop() }
        let sink = try PagerDutyAlertSink(routingKey: "R0UT1NG", address: server.address)
        _ = try await sending {
            try await sink.send(alert(.raised))
            try await sink.send(alert(.resolved))
        }
        let bodies = server.requests.map(\.json)
        #expect(bodies.map { $0["event_action"] as? String } == ["trigger", "resolve"])
        #expect(bodies.map { $0["routing_key"] as? String } == ["R0UT1NG", "R0UT1NG"])
        #expect(Set(bodies.map { $0["dedup_key"] as? String }) == [alert().id])
        let payload = try #require(bodies[0]["payload"] as? [String: any Sendable])
        #expect(payload["severity"] as? String == "critical" && payload["source"] as? String == "shop")
        #expect(payload["timestamp"] as? String == "1970-01-01T00:00:00Z" && payload["class"] as? String == "poison")
        let summary = try #require(payload["summary"] as? String)
        #expect(summary.contains("acme") && summary.contains("3") && summary.utf8.count <= 1024)
        #expect((payload["custom_details"] as? [String: any Sendable])?["count"] as? Int == 3)
        #expect(bodies[1]["payload"] == nil)
    }

    @Test func aLogIsGivenALineOfJSON() async throws {
        let lines = Log<String>()
        try await LogAlertSink { lines.add($0) }.send(alert())
        let line = try #require(lines.all.first)
        #expect(!line.contains("\n"))
        let json = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: any Sendable]
        #expect(json?["rule"] as? String == "any")
    }
}
