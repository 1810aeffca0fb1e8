// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Counts events by kind and dimensions, and keeps histograms of their durations.
///
/// Read it as a value with ``snapshot()`` or let Prometheus scrape ``prometheusText()``. Memory is bounded: of each kind of
/// event only so many combinations of dimensions are told apart, and all further ones are counted together under the label
/// `otel.metric.overflow`, as
/// [OpenTelemetry](https://opentelemetry.io/docs/specs/otel/metrics/sdk/#cardinality-limits) has it. So no total is ever
/// wrong, however many types and topics there are.
///
/// ```swift
/// let metrics = MetricsInstrument()
/// let runtime = Runtime(instrument: metrics)
/// // …
/// print(metrics.snapshot().count(of: MessageHandled.self, where: ["messaging.consumer.group.name": "payments"]))
/// ```
public final class MetricsInstrument: Instrument {
    /// The upper bounds that the
    /// [OpenTelemetry conventions](https://opentelemetry.io/docs/specs/semconv/messaging/messaging-metrics/) advise, from
    /// 5 milliseconds to 10 seconds.
    public static let defaultBounds: [Duration] = [
        .milliseconds(5), .milliseconds(10), .milliseconds(25), .milliseconds(50), .milliseconds(75),
        .milliseconds(100), .milliseconds(250), .milliseconds(500), .milliseconds(750), .seconds(1),
        .milliseconds(2500), .seconds(5), .milliseconds(7500), .seconds(10),
    ]

    private let metrics = Mutex<[ObjectIdentifier: Metric]>([:])
    private let bounds: [Int64]
    private let mostSeries: Int

    /// Creates an instrument that has counted nothing.
    ///
    /// - Parameters:
    ///   - bounds: The upper bounds of the histograms' buckets.
    ///   - mostSeries: How many combinations of dimensions of each kind of event are told apart, those that overflow
    ///     counting as one.
    public init(bounds: [Duration] = defaultBounds, mostSeries: Int = 2000) {
        self.bounds = Set(bounds.map(\.nanoseconds)).sorted()
        self.mostSeries = max(1, mostSeries)
    }

    /// Counts an event.
    ///
    /// - Parameter event: What happened.
    public func record<E: InstrumentEvent>(_ event: E) {
        var dimensions: [Dimension] = []
        dimensions.reserveCapacity(4)
        event.visitDimensions { name, value in dimensions.append(Dimension(name: name, value: value)) }
        let key = dimensions
        let count = max(0, event.count)
        // A clock that was set back must not make a sum go down.
        let duration = event.duration.map { max(0, $0.nanoseconds) }
        metrics.withLock { metrics in
            metrics[ObjectIdentifier(E.self), default: Metric(name: E.name)].add(
                key, count: count, duration: duration, bounds: bounds, mostSeries: mostSeries)
        }
    }

    /// Reads all that was counted so far.
    ///
    /// - Returns: The counts and histograms, sorted by name and labels.
    public func snapshot() -> MetricsSnapshot {
        let metrics = metrics.withLock { Array($0.values) }
        let bounds = bounds.map { Duration.nanoseconds($0) }
        var all: [MetricsSnapshot.Series] = []
        for metric in metrics {
            for (dimensions, series) in metric.series {
                let labels = dimensions.map { MetricsSnapshot.Label(name: $0.name.description, value: $0.value) }
                all.append(series.value(named: metric.name, labels, bounds))
            }
            if let overflow = metric.overflow {
                all.append(overflow.value(named: metric.name, [MetricsSnapshot.Label.overflow], bounds))
            }
        }
        return MetricsSnapshot(series: all)
    }

    /// Writes all that was counted so far as Prometheus reads it.
    ///
    /// Serve it with the content type ``MetricsSnapshot/prometheusContentType``.
    ///
    /// - Returns: The text, see ``MetricsSnapshot/prometheusText``.
    public func prometheusText() -> String {
        snapshot().prometheusText
    }
}

/// The dimensions of one event as they were visited.
///
/// Hashed by the value alone: the names are the same nearly always.
private struct Dimension: Hashable {
    let name: StaticString
    let value: String

    static func == (left: Self, right: Self) -> Bool {
        left.value == right.value
            && (left.name.utf8Start == right.name.utf8Start || left.name.description == right.name.description)
    }

    func hash(into hasher: inout Hasher) {
        hasher.combine(value)
    }
}

/// All series of one kind of event.
private struct Metric {
    let name: String
    private(set) var series: [[Dimension]: Series] = [:]
    private(set) var overflow: Series?

    init(name: String) {
        self.name = name
    }

    mutating func add(_ key: [Dimension], count: Int, duration: Int64?, bounds: [Int64], mostSeries: Int) {
        if series[key] != nil || series.count < mostSeries - 1 {
            series[key, default: Series()].add(count, duration, bounds)
        } else {
            overflow = overflow ?? Series()
            overflow?.add(count, duration, bounds)
        }
    }
}

/// The events of one kind with equal dimensions.
private struct Series {
    private var count = 0
    /// How many durations lie in each bucket and no lower one; empty if none was measured.
    private var durations: [Int] = []
    private var nanoseconds: Int64 = 0

    mutating func add(_ count: Int, _ duration: Int64?, _ bounds: [Int64]) {
        self.count = Self.sum(self.count, count)
        guard let duration else { return }
        if durations.isEmpty { durations = Array(repeating: 0, count: bounds.count + 1) }
        durations[bounds.firstIndex { duration <= $0 } ?? bounds.count] &+= 1
        nanoseconds = Self.sum(nanoseconds, duration)
    }

    func value(
        named name: String, _ labels: [MetricsSnapshot.Label], _ bounds: [Duration]
    ) -> MetricsSnapshot.Series {
        let histogram =
            durations.isEmpty
            ? nil : MetricsSnapshot.Histogram(bounds: bounds, counts: durations, sum: .nanoseconds(nanoseconds))
        return MetricsSnapshot.Series(event: name, labels: labels, count: count, durations: histogram)
    }

    private static func sum<Number: FixedWidthInteger>(_ left: Number, _ right: Number) -> Number {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? .max : sum
    }
}
