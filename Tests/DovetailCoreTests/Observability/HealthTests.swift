// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation
import Testing

@Suite struct HealthTests {
    @Test("A report with nothing in it is healthy")
    func healthy() {
        #expect(Health().status() == .healthy)
        let full = Health(relayLag: .seconds(30), oldestUnsent: .seconds(60), breakers: ["a": "closed"])
        #expect(full.status() == .healthy)
    }

    @Test(
        "Each figure above its threshold degrades",
        arguments: [
            Health(relayLag: .seconds(30) + .nanoseconds(1)), Health(oldestUnsent: .seconds(60) + .nanoseconds(1)),
            Health(parked: 1), Health(deadLetters: 1), Health(breakers: ["a": "closed", "b": "open"]),
            Health(breakers: ["b": "half-open"]),
        ])
    func degraded(health: Health) {
        #expect(health.status() == .degraded)
        let generous = Health.Thresholds(
            relayLag: .seconds(100), oldestUnsent: .seconds(100), parked: 1, deadLetters: 1)
        #expect(health.status(generous) == (health.breakers.isEmpty ? .healthy : .degraded))
    }

    @Test("A part that cannot report is unhealthy, whatever the thresholds")
    func unhealthy() {
        let health = Health(problems: ["database": "no answer"])
        #expect(health.status(Health.Thresholds(parked: .max, deadLetters: .max)) == .unhealthy)
        #expect(Health.Status.healthy < .degraded && .degraded < .unhealthy)
    }

    @Test("Merging keeps the longer times, adds up the numbers and loses no name")
    func merging() {
        let one = Health(
            relayLag: .seconds(1), parked: 2, deadLetters: .max, breakers: ["x": "closed", "y": "open"],
            problems: ["a": "1"])
        let other = Health(
            relayLag: .seconds(3), oldestUnsent: .seconds(9), parked: 5, deadLetters: 1,
            breakers: ["x": "open", "y": "closed", "z": "closed"], problems: ["a": "2", "b": "3"])
        let merged = one.merging(other)
        #expect(merged.relayLag == .seconds(3))
        #expect(merged.oldestUnsent == .seconds(9))
        #expect(merged.parked == 7)
        #expect(merged.deadLetters == .max)
        #expect(merged.breakers == ["x": "open", "y": "open", "z": "closed"])
        #expect(merged.problems == ["a": "1; 2", "b": "3"])
        #expect(Health().merging(one) == one)
        #expect(one.merging(Health()) == one)
    }

    @Test("All parts are asked; one that throws is named with its reason, redacted", .timeLimit(.minutes(10)))
    func gathering() async {
        struct Part: HealthReporting {
            let report: Health?

            func health() async throws -> Health {
                guard let report else { throw DatabaseError(.unavailable, "no answer from 10.0.0.7") }
                return report
            }
        }
        let parts: [String: any HealthReporting] = [
            "outbox": Part(report: Health(relayLag: .seconds(2))), "inbox": Part(report: Health(parked: 3)),
            "database": Part(report: nil),
        ]
        let health = await Health.gathering(parts, runtime: Runtime(redactor: NoDigits()))
        #expect(health.relayLag == .seconds(2))
        #expect(health.parked == 3)
        #expect(health.problems.count == 1)
        #expect(health.problems["database"]?.contains("no answer from **.*.*.*") == true)
        #expect(health.status() == .unhealthy)
        #expect(await Health.gathering([:]) == Health())
    }

    @Test("The JSON is valid, in a fixed order, and leaves out what is not known")
    func json() throws {
        #expect(
            Health().json() == #"{"status":"healthy","parked":0,"deadLetters":0,"breakers":{},"problems":{}}"#)
        let health = Health(
            relayLag: .milliseconds(250), oldestUnsent: .seconds(3), parked: 1, deadLetters: 2,
            breakers: ["b": "open", "a": "closed"], problems: ["x\"": "line\nbreak"])
        #expect(
            health.json() == #"{"status":"unhealthy","relayLagSeconds":0.25,"oldestUnsentSeconds":3.0,"parked":1,"#
                + #""deadLetters":2,"breakers":{"a":"closed","b":"open"},"problems":{"x\"":"line\nbreak"}}"#)
        #expect(try JSONSerialization.jsonObject(with: Data(health.json().utf8)) is [String: Any])
        #expect(Health(parked: 1).json(.init(parked: 1)).hasPrefix(#"{"status":"healthy""#))
    }
}
