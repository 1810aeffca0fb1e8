// SPDX-License-Identifier: Apache-2.0

extension MetricsSnapshot {
    /// The content type to serve ``prometheusText`` with.
    public static let prometheusContentType = "text/plain; version=0.0.4; charset=utf-8"

    /// The snapshot in the
    /// [text format of Prometheus](https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format).
    ///
    /// An event `dovetail.message.handled` is the counter `dovetail_message_handled_total` and, if it has a duration, the
    /// histogram `dovetail_message_handled_duration_seconds`. Names keep to what Prometheus allows; everything else in
    /// them becomes `_`.
    public var prometheusText: String {
        var families: [String: Family] = [:]
        for series in series {
            let name = PrometheusText.metricName(series.event)
            let labels = PrometheusText.labels(series.labels)
            families[name, default: Family(event: series.event)].add(series, labels)
        }
        var text = ""
        for (name, family) in families.sorted(by: { $0.key < $1.key }) {
            family.write(to: &text, as: name)
        }
        return text
    }

    /// All series whose names look alike to Prometheus, added up where their labels do as well.
    private struct Family {
        let event: String
        var counts: [String: Int] = [:]
        var durations: [String: Histogram] = [:]

        init(event: String) {
            self.event = event
        }

        mutating func add(_ series: Series, _ labels: String) {
            counts[labels, default: 0] &+= series.count
            guard let histogram = series.durations else { return }
            durations[labels] = durations[labels].map { $0.adding(histogram) } ?? histogram
        }

        func write(to text: inout String, as name: String) {
            let help = PrometheusText.escaped(event, quote: false)
            text += "# HELP \(name)_total Events named \(help).\n# TYPE \(name)_total counter\n"
            for (labels, count) in counts.sorted(by: { $0.key < $1.key }) {
                text += "\(name)_total\(labels.isEmpty ? "" : "{\(labels)}") \(count)\n"
            }
            if durations.isEmpty { return }
            let name = name + "_duration_seconds"
            text += "# HELP \(name) Durations of events named \(help).\n# TYPE \(name) histogram\n"
            for (labels, histogram) in durations.sorted(by: { $0.key < $1.key }) {
                histogram.write(to: &text, as: name, labels)
            }
        }
    }
}

extension MetricsSnapshot.Histogram {
    fileprivate func adding(_ other: Self) -> Self {
        guard bounds == other.bounds else { return self }
        return Self(bounds: bounds, counts: zip(counts, other.counts).map { $0 &+ $1 }, sum: sum + other.sum)
    }

    fileprivate func write(to text: inout String, as name: String, _ labels: String) {
        var total = 0
        for (index, count) in counts.enumerated() {
            total &+= count
            let bound = index < bounds.count ? "\(bounds[index].inSeconds)" : "+Inf"
            text += "\(name)_bucket{\(labels.isEmpty ? "" : labels + ",")le=\"\(bound)\"} \(total)\n"
        }
        let braces = labels.isEmpty ? "" : "{\(labels)}"
        text += "\(name)_sum\(braces) \(sum.inSeconds)\n\(name)_count\(braces) \(total)\n"
    }
}

/// What Prometheus allows where.
private enum PrometheusText {
    static func metricName(_ name: String) -> String {
        sanitized(name, allowing: UInt8(ascii: ":"))
    }

    /// The labels as they stand between braces; of several with one name the first.
    static func labels(_ labels: [MetricsSnapshot.Label]) -> String {
        var names: Set<String> = []
        return labels.compactMap { label -> String? in
            var name = sanitized(label.name, allowing: nil)
            // Histograms need `le` for themselves, and names with two underscores are those of Prometheus.
            if name == "le" || name.hasPrefix("__") { name = "exported_" + name.drop { $0 == "_" } }
            return names.insert(name).inserted ? "\(name)=\"\(escaped(label.value, quote: true))\"" : nil
        }.joined(separator: ",")
    }

    static func escaped(_ text: String, quote: Bool) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\\": result += "\\\\"
            case "\n": result += "\\n"
            case "\"" where quote: result += "\\\""
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func sanitized(_ name: String, allowing extra: UInt8?) -> String {
        var bytes: [UInt8] = name.unicodeScalars.map { scalar in
            let byte = UInt8(exactly: scalar.value) ?? 0
            let isAllowed = byte | 0x20 &- 97 < 26 || byte &- 48 < 10 || byte == UInt8(ascii: "_") || byte == extra
            return isAllowed ? byte : UInt8(ascii: "_")
        }
        if bytes.first.map({ $0 &- 48 < 10 }) ?? true { bytes.insert(UInt8(ascii: "_"), at: 0) }
        return String(decoding: bytes, as: UTF8.self)
    }
}
