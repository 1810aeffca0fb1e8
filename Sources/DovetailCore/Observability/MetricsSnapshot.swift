// SPDX-License-Identifier: Apache-2.0

/// What a ``MetricsInstrument`` has counted up to a moment.
///
/// ```swift
/// let snapshot = metrics.snapshot()
/// #expect(snapshot.count(of: MessageDeadLettered.self) == 0)
/// ```
public struct MetricsSnapshot: Sendable, Hashable {
    /// A name with a value that tells series apart.
    public struct Label: Sendable, Hashable, Comparable {
        /// The name.
        public let name: String

        /// The value.
        public let value: String

        /// Creates a label.
        ///
        /// - Parameters:
        ///   - name: The name.
        ///   - value: The value.
        public init(name: String, value: String) {
            self.name = name
            self.value = value
        }

        /// Marks the series of all events that were too many to tell apart.
        public static let overflow = Label(name: "otel.metric.overflow", value: "true")

        /// Orders labels by name, then value.
        ///
        /// - Parameters:
        ///   - left: A label.
        ///   - right: Another label.
        /// - Returns: Whether `left` comes first.
        public static func < (left: Self, right: Self) -> Bool {
            (left.name, left.value) < (right.name, right.value)
        }
    }

    /// The events of one kind with the same labels.
    public struct Series: Sendable, Hashable {
        /// The name of the kind of event.
        public let event: String

        /// What the events have in common, sorted.
        public let labels: [Label]

        /// How many there were.
        public let count: Int

        /// How long they took, if that is measured.
        public let durations: Histogram?

        /// Creates a series.
        ///
        /// - Parameters:
        ///   - event: The name of the kind of event.
        ///   - labels: What the events have in common.
        ///   - count: How many there were.
        ///   - durations: How long they took.
        public init(event: String, labels: [Label], count: Int, durations: Histogram? = nil) {
            self.event = event
            self.labels = labels.sorted()
            self.count = count
            self.durations = durations
        }
    }

    /// How many durations lie between which bounds.
    public struct Histogram: Sendable, Hashable {
        /// The upper bounds of the buckets, rising.
        public let bounds: [Duration]

        /// How many lie in each bucket and no lower one; one more than there are bounds, the last for what lies above all.
        public let counts: [Int]

        /// All durations together.
        public let sum: Duration

        /// Creates a histogram.
        ///
        /// - Parameters:
        ///   - bounds: The upper bounds of the buckets, rising.
        ///   - counts: How many lie in each bucket, one more than there are bounds.
        ///   - sum: All durations together.
        public init(bounds: [Duration], counts: [Int], sum: Duration) {
            self.bounds = bounds
            self.counts = counts
            self.sum = sum
        }

        /// How many there are.
        public var count: Int { counts.reduce(0, &+) }
    }

    /// All series, sorted by the name of the event and the labels.
    public let series: [Series]

    /// Creates a snapshot.
    ///
    /// - Parameter series: All series, in any order.
    public init(series: [Series]) {
        self.series = series.sorted {
            $0.event == $1.event ? $0.labels.lexicographicallyPrecedes($1.labels) : $0.event < $1.event
        }
    }

    /// Adds up the events of a kind.
    ///
    /// - Parameters:
    ///   - event: The kind of event.
    ///   - labels: What must hold of those that are counted; nothing unless given.
    /// - Returns: How many there were.
    public func count<E: InstrumentEvent>(of event: E.Type, where labels: [String: String] = [:]) -> Int {
        series.reduce(0) { sum, series in
            let matches =
                series.event == E.name
                && labels.allSatisfy { label in
                    series.labels.contains { $0.name == label.key && $0.value == label.value }
                }
            return matches ? sum &+ series.count : sum
        }
    }
}
