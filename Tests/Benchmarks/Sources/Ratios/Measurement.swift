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

/// The figures of one side of a comparison.
struct Side {
    let figure: Measurement
    /// Nanoseconds of processor time an operation, on all threads together.
    let processor: Measurement
}

/// The figures of a comparison: each run of the subject has its floors right behind it.
struct Outcome {
    let subject: Side
    let floors: [Side]
}

extension Comparison {
    func measure(_ options: Options) async throws -> Outcome {
        let sides = [subject] + (options.leavesFloorsOut ? [] : floors)
        let count = max(1, Int(Double(self.count) * options.scale))
        var figures = sides.map { _ in [Double]() }
        var processor = figures
        // Fills caches and lets threads start.
        if options.runs > 1 {
            for side in sides { _ = try await side.time(max(1, count / 10)) }
        }
        for _ in 0..<options.runs {
            for (index, side) in sides.enumerated() {
                let timing = try await side.time(count)
                figures[index].append(unit.figure(timing.elapsed, count: count))
                processor[index].append(timing.processor / .nanoseconds(count))
            }
        }
        let measured = zip(figures, processor).map { Side(figure: Measurement($0), processor: Measurement($1)) }
        return Outcome(subject: measured[0], floors: Array(measured.dropFirst()))
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
        case .aboveFloor(let limit): "≤ floor + \(limit.readable)"
        }
    }

    func verdict(on outcome: Outcome) -> String {
        let figure = outcome.subject.figure.median
        func isMet(_ limit: Double) -> Bool { unit.moreIsBetter ? figure >= limit : figure <= limit }
        return switch budget {
        case .none: ""
        case .figure(let limit): isMet(limit) ? "yes" : "NO"
        case .span(let first, let last): isMet(last) ? "yes" : isMet(first) ? "lower end" : "NO"
        case .timesFloor(let limit):
            outcome.floors.first.map { timesFloor(figure, $0.figure.median) <= limit ? "yes" : "NO" } ?? ""
        case .aboveFloor(let limit):
            outcome.floors.first.map { floor in
                let above = figure - floor.figure.median
                return "\(above <= limit ? "yes" : "NO") (+ \(above.readable))"
            } ?? ""
        }
    }
}
