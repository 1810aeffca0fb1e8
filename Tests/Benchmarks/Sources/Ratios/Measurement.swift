// SPDX-License-Identifier: Apache-2.0

import Workloads

/// The figures of several runs.
struct Measurement {
    private let sorted: [Double]

    init(_ figures: [Double]) {
        sorted = figures.sorted()
    }

    var median: Double { sorted[sorted.count / 2] }
    var least: Double { sorted[0] }
    var most: Double { sorted[sorted.count - 1] }
}

/// The figures of a comparison: each run of the subject has its floors right behind it.
struct Outcome {
    let subject: Measurement
    let floors: [Measurement]
}

extension Comparison {
    func measure(_ options: Options) async throws -> Outcome {
        let sides = [subject] + (options.leavesFloorsOut ? [] : floors)
        let count = max(1, Int(Double(self.count) * options.scale))
        var figures = sides.map { _ in [Double]() }
        // Fills caches and lets threads start.
        if options.runs > 1 {
            for side in sides { _ = try await side.time(max(1, count / 10)) }
        }
        for _ in 0..<options.runs {
            for (index, side) in sides.enumerated() {
                figures[index].append(unit.figure(try await side.time(count), count: count))
            }
        }
        let measurements = figures.map(Measurement.init)
        return Outcome(subject: measurements[0], floors: Array(measurements.dropFirst()))
    }

    /// How many times the cost of a floor the subject has.
    func timesFloor(_ subject: Double, _ floor: Double) -> Double {
        unit.moreIsBetter ? floor / subject : subject / floor
    }

    var budgetText: String {
        let sign = unit.moreIsBetter ? "≥" : "≤"
        return switch budget {
        case .none: ""
        case .figure(let limit): "\(sign) \(limit.readable)"
        case .span(let first, let last): "\(sign) \(first.readable) to \(last.readable)"
        case .timesFloor(let limit): "≤ \(limit.readable) x floor"
        }
    }

    func verdict(on outcome: Outcome) -> String {
        let figure = outcome.subject.median
        func isMet(_ limit: Double) -> Bool { unit.moreIsBetter ? figure >= limit : figure <= limit }
        return switch budget {
        case .none: ""
        case .figure(let limit): isMet(limit) ? "yes" : "NO"
        case .span(let first, let last): isMet(last) ? "yes" : isMet(first) ? "lower end" : "NO"
        case .timesFloor(let limit):
            outcome.floors.first.map { timesFloor(figure, $0.median) <= limit ? "yes" : "NO" } ?? ""
        }
    }
}
