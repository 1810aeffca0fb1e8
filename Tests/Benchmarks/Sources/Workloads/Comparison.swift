// SPDX-License-Identifier: Apache-2.0

/// A path of the library beside the least that the same work costs, and what it may cost.
public struct Comparison: Sendable {
    /// What a figure counts.
    public enum Unit: Sendable {
        /// Operations a second; more is better.
        case perSecond(String)

        /// Nanoseconds an operation; fewer is better.
        case nanoseconds

        /// Megabytes a second, of operations that take so many bytes; more is better.
        case megabytesPerSecond(bytes: Int)

        /// The figure in this unit.
        ///
        /// - Parameters:
        ///   - duration: The time it took.
        ///   - count: The number of operations.
        /// - Returns: The figure.
        public func figure(_ duration: Duration, count: Int) -> Double {
            let seconds = duration / .seconds(1)
            return switch self {
            case .perSecond: Double(count) / seconds
            case .nanoseconds: seconds * 1e9 / Double(count)
            case .megabytesPerSecond(let bytes): Double(count) * Double(bytes) / seconds / 1e6
            }
        }

        /// What stands behind a figure.
        public var label: String {
            switch self {
            case .perSecond(let what): "\(what)/s"
            case .nanoseconds: "ns"
            case .megabytesPerSecond: "MB/s"
            }
        }

        /// Whether a larger figure is the better one.
        public var moreIsBetter: Bool {
            if case .nanoseconds = self { false } else { true }
        }
    }

    /// What is allowed.
    public enum Budget: Sendable {
        /// Nothing was agreed on.
        case none

        /// A figure at least as good as this one.
        case figure(Double)

        /// A figure that was agreed on as a span: met if as good as the better end, met in part from the other end on.
        case span(from: Double, to: Double)

        /// At most so many times the cost of the floor.
        case timesFloor(Double)

        /// At most so much more than the floor.
        case aboveFloor(Double)
    }

    /// Names the row.
    public let name: String

    /// What figures count.
    public let unit: Unit

    /// How many operations make a run of a second or less.
    public let count: Int

    /// What is allowed.
    public let budget: Budget

    /// The path of the library.
    public let subject: Workload

    /// The same work without the library; the first one is what the budget speaks of.
    public let floors: [Workload]

    init(
        _ name: String, in unit: Unit, count: Int, budget: Budget = .none, of subject: Workload,
        over floors: Workload...
    ) {
        self.name = name
        self.unit = unit
        self.count = count
        self.budget = budget
        self.subject = subject
        self.floors = floors
    }
}
