// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct MetricsInstrumentTests {
    private struct Other: InstrumentEvent {
        static let name = "other.event"
        let label: String

        func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) { visit("label", label) }
    }

    private func probe(_ value: String, count: Int = 1, duration: Duration? = nil) -> Probe {
        Probe(count: count, duration: duration, dimensions: [("topic", value), ("group", "g")])
    }

    @Test("Events are counted by kind and dimensions")
    func counts() {
        let metrics = MetricsInstrument()
        metrics.record(probe("a"))
        metrics.record(probe("a", count: 4))
        metrics.record(probe("b"))
        metrics.record(Other(label: "a"))
        let snapshot = metrics.snapshot()
        #expect(snapshot.count(of: Probe.self) == 6)
        #expect(snapshot.count(of: Probe.self, where: ["topic": "a"]) == 5)
        #expect(snapshot.count(of: Probe.self, where: ["topic": "a", "group": "g"]) == 5)
        #expect(snapshot.count(of: Probe.self, where: ["topic": "a", "group": "x"]) == 0)
        #expect(snapshot.count(of: Other.self) == 1)
        #expect(snapshot.count(of: MessageHandled.self) == 0)
        #expect(snapshot.series.map(\.event) == ["other.event", "probe.event", "probe.event"])
        #expect(snapshot.series.allSatisfy { $0.durations == nil })
        #expect(metrics.snapshot() == snapshot)
    }

    @Test("Durations fall into the bucket whose bound they do not exceed")
    func histograms() throws {
        let metrics = MetricsInstrument(bounds: [.seconds(1), .milliseconds(10), .seconds(1)])
        for duration: Duration in [
            .zero, .milliseconds(10), .milliseconds(10) + .nanoseconds(1), .seconds(1), .seconds(2), .seconds(-5),
        ] {
            metrics.record(probe("a", count: 3, duration: duration))
        }
        let histogram = try #require(metrics.snapshot().series.first?.durations)
        #expect(histogram.bounds == [.milliseconds(10), .seconds(1)])
        #expect(histogram.counts == [3, 2, 1])
        #expect(histogram.count == 6)
        #expect(histogram.sum == .milliseconds(3020) + .nanoseconds(1))
    }

    @Test("Past the limit, series are counted together and nothing is lost", arguments: [1, 2, 5])
    func boundedCardinality(limit: Int) {
        let metrics = MetricsInstrument(mostSeries: limit)
        for round in 0..<3 {
            for value in 0..<20 { metrics.record(probe("\(value)", duration: .seconds(round))) }
        }
        metrics.record(Other(label: "x"))
        let snapshot = metrics.snapshot()
        let series = snapshot.series.filter { $0.event == Probe.name }
        #expect(series.count == limit)
        #expect(snapshot.count(of: Probe.self) == 60)
        #expect(snapshot.count(of: Probe.self, where: ["otel.metric.overflow": "true"]) == 60 - 3 * (limit - 1))
        #expect(series.reduce(0) { $0 + ($1.durations?.count ?? 0) } == 60)
        // What was told apart before the limit still is.
        if limit > 1 { #expect(snapshot.count(of: Probe.self, where: ["topic": "0"]) == 3) }
    }

    @Test("Sums stop at the greatest number instead of trapping")
    func saturates() throws {
        let metrics = MetricsInstrument()
        for _ in 0..<3 { metrics.record(probe("a", count: .max, duration: .seconds(Int64.max))) }
        metrics.record(probe("a", count: -7, duration: .seconds(Int64.min)))
        #expect(metrics.snapshot().count(of: Probe.self) == .max)
        let histogram = try #require(metrics.snapshot().series.first?.durations)
        #expect(histogram.count == 4)
        #expect(histogram.sum == .nanoseconds(Int64.max))
        #expect(metrics.prometheusText().contains("probe_event_total"))
    }

    @Test("Counting from many tasks at once misses nothing", .timeLimit(.minutes(10)))
    func concurrent() async {
        let metrics = MetricsInstrument()
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for _ in 0..<500 { metrics.record(probe("\(task % 3)", duration: .milliseconds(1))) }
                }
            }
        }
        #expect(metrics.snapshot().count(of: Probe.self) == 4000)
    }

    // MARK: - Prometheus

    @Test("The text is what Prometheus reads")
    func text() {
        let metrics = MetricsInstrument(bounds: [.milliseconds(5), .seconds(1)])
        metrics.record(probe("b", duration: .milliseconds(500)))
        metrics.record(probe("a", count: 2))
        metrics.record(probe("b", duration: .milliseconds(1)))
        metrics.record(Other(label: "x"))
        #expect(
            metrics.prometheusText() == """
                # HELP other_event_total Events named other.event.
                # TYPE other_event_total counter
                other_event_total{label="x"} 1
                # HELP probe_event_total Events named probe.event.
                # TYPE probe_event_total counter
                probe_event_total{group="g",topic="a"} 2
                probe_event_total{group="g",topic="b"} 2
                # HELP probe_event_duration_seconds Durations of events named probe.event.
                # TYPE probe_event_duration_seconds histogram
                probe_event_duration_seconds_bucket{group="g",topic="b",le="0.005"} 1
                probe_event_duration_seconds_bucket{group="g",topic="b",le="1.0"} 2
                probe_event_duration_seconds_bucket{group="g",topic="b",le="+Inf"} 2
                probe_event_duration_seconds_sum{group="g",topic="b"} 0.501
                probe_event_duration_seconds_count{group="g",topic="b"} 2

                """)
    }

    @Test("No series, no text, and an event without dimensions has no braces")
    func emptyText() {
        let metrics = MetricsInstrument(bounds: [])
        #expect(metrics.prometheusText().isEmpty)
        metrics.record(Probe(duration: .seconds(1)))
        let text = metrics.prometheusText()
        #expect(text.contains("\nprobe_event_total 1\n"))
        #expect(text.contains("\nprobe_event_duration_seconds_bucket{le=\"+Inf\"} 1\n"))
        #expect(text.contains("\nprobe_event_duration_seconds_sum 1.0\nprobe_event_duration_seconds_count 1\n"))
    }

    @Test("Names keep to what Prometheus allows, values are escaped")
    func namesAndValues() {
        let labels: [MetricsSnapshot.Label] = [
            .init(name: "a.b", value: "back\\slash \"quoted\"\nnew line é"), .init(name: "a_b", value: "second"),
            .init(name: "le", value: "1"), .init(name: "__name__", value: "x"), .init(name: "9lives", value: ""),
            .init(name: "", value: "empty"), .init(name: "größe", value: "z"),
        ]
        let snapshot = MetricsSnapshot(series: [.init(event: "1st event:größe\\\n", labels: labels, count: 1)])
        let lines = snapshot.prometheusText.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines[0] == "# HELP _1st_event:gr__e___total Events named 1st event:größe\\\\\\n.")
        #expect(
            lines[2] == "_1st_event:gr__e___total{_=\"empty\",_9lives=\"\",exported_name__=\"x\","
                + "a_b=\"back\\\\slash \\\"quoted\\\"\\nnew line é\",gr__e=\"z\",exported_le=\"1\"} 1")
    }

    @Test("Kinds whose names look alike to Prometheus are one metric, and equal labels one series")
    func namesThatCollide() {
        let histogram = MetricsSnapshot.Histogram(bounds: [.seconds(1)], counts: [1, 2], sum: .seconds(5))
        let snapshot = MetricsSnapshot(series: [
            .init(event: "a.b", labels: [.init(name: "x.y", value: "1")], count: 3, durations: histogram),
            .init(event: "a_b", labels: [.init(name: "x_y", value: "1")], count: 4, durations: histogram),
        ])
        let text = snapshot.prometheusText
        #expect(text.split(separator: "\n").count { $0.hasPrefix("# TYPE a_b_total") } == 1)
        #expect(text.contains("\na_b_total{x_y=\"1\"} 7\n"))
        #expect(text.contains("\na_b_duration_seconds_bucket{x_y=\"1\",le=\"+Inf\"} 6\n"))
        #expect(text.contains("\na_b_duration_seconds_sum{x_y=\"1\"} 10.0\n"))
    }

    @Test("The bounds are those that OpenTelemetry advises")
    func defaultBounds() {
        let seconds = MetricsInstrument.defaultBounds.map(\.inSeconds)
        #expect(seconds == [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10])
    }
}
