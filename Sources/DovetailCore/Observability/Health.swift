// SPDX-License-Identifier: Apache-2.0

/// How a service fares, in one value: what it has not yet sent, what it set aside, and what it cannot reach.
///
/// Each part reports what it knows; ``merging(_:)`` puts the reports together. Parts that do not know a figure leave it
/// empty.
///
/// ```swift
/// let health = await Health.gathering(["outbox": relay, "payments": payments])
/// response.status = health.status() == .unhealthy ? 503 : 200
/// response.body = health.json()
/// ```
public struct Health: Sendable, Hashable {
    /// The verdict.
    public enum Status: String, Sendable, Hashable, Comparable {
        /// All is well.
        case healthy

        /// The service works, and someone should look.
        case degraded

        /// A part of the service cannot even report.
        case unhealthy

        /// Orders verdicts, the worse after the better.
        ///
        /// - Parameters:
        ///   - left: A verdict.
        ///   - right: Another verdict.
        /// - Returns: Whether `left` is better.
        public static func < (left: Self, right: Self) -> Bool {
            left.severity < right.severity
        }

        private var severity: Int {
            switch self {
            case .healthy: 0
            case .degraded: 1
            case .unhealthy: 2
            }
        }
    }

    /// What a service may show and still be called healthy.
    ///
    /// More than that, and it is degraded.
    public struct Thresholds: Sendable, Hashable {
        /// The relay's lag; 30 seconds unless set.
        public var relayLag: Duration

        /// The age of the oldest message that was not sent; a minute unless set.
        public var oldestUnsent: Duration

        /// The number of parked messages; none unless set.
        public var parked: Int

        /// The number of dead letters; none unless set.
        public var deadLetters: Int

        /// Creates thresholds.
        ///
        /// - Parameters:
        ///   - relayLag: The relay's lag.
        ///   - oldestUnsent: The age of the oldest message that was not sent.
        ///   - parked: The number of parked messages.
        ///   - deadLetters: The number of dead letters.
        public init(
            relayLag: Duration = .seconds(30), oldestUnsent: Duration = .seconds(60), parked: Int = 0,
            deadLetters: Int = 0
        ) {
            self.relayLag = relayLag
            self.oldestUnsent = oldestUnsent
            self.parked = parked
            self.deadLetters = deadLetters
        }
    }

    /// The time from the creation of a message to its publication, as last seen; `nil` if not known.
    public var relayLag: Duration?

    /// The age of the oldest message that is due and was not sent; `nil` if there is none.
    public var oldestUnsent: Duration?

    /// How many messages wait for an earlier one of their key, or for a person.
    public var parked: Int

    /// How many dead letters there are.
    public var deadLetters: Int

    /// The state of each circuit breaker by its name, such as `closed`, `open` or `half-open`.
    public var breakers: [String: String]

    /// Why a part could not report, by its name.
    public var problems: [String: String]

    /// Creates a report.
    ///
    /// - Parameters:
    ///   - relayLag: The time from the creation of a message to its publication.
    ///   - oldestUnsent: The age of the oldest message that was not sent.
    ///   - parked: How many messages wait.
    ///   - deadLetters: How many dead letters there are.
    ///   - breakers: The state of each circuit breaker.
    ///   - problems: Why a part could not report.
    public init(
        relayLag: Duration? = nil,
        oldestUnsent: Duration? = nil,
        parked: Int = 0,
        deadLetters: Int = 0,
        breakers: [String: String] = [:],
        problems: [String: String] = [:]
    ) {
        self.relayLag = relayLag
        self.oldestUnsent = oldestUnsent
        self.parked = parked
        self.deadLetters = deadLetters
        self.breakers = breakers
        self.problems = problems
    }

    /// Passes a verdict.
    ///
    /// Unhealthy if a part could not report; degraded if a figure is above its threshold or a breaker is in another state
    /// than `closed`; healthy otherwise.
    ///
    /// - Parameter thresholds: What may be shown.
    /// - Returns: The verdict.
    public func status(_ thresholds: Thresholds = Thresholds()) -> Status {
        if !problems.isEmpty { return .unhealthy }
        let isFine =
            (relayLag ?? .zero) <= thresholds.relayLag && (oldestUnsent ?? .zero) <= thresholds.oldestUnsent
            && parked <= thresholds.parked && deadLetters <= thresholds.deadLetters
            && breakers.values.allSatisfy { $0 == "closed" }
        return isFine ? .healthy : .degraded
    }

    /// Puts two reports of different parts together: the longer times, the sums of the numbers, all breakers and problems.
    ///
    /// - Parameter other: The report of another part.
    /// - Returns: The report of both. Of a breaker that both name, a state other than `closed` stays.
    public func merging(_ other: Health) -> Health {
        Health(
            relayLag: [relayLag, other.relayLag].compactMap(\.self).max(),
            oldestUnsent: [oldestUnsent, other.oldestUnsent].compactMap(\.self).max(),
            parked: Self.sum(parked, other.parked),
            deadLetters: Self.sum(deadLetters, other.deadLetters),
            breakers: breakers.merging(other.breakers) { $0 == "closed" ? $1 : $0 },
            problems: problems.merging(other.problems) { $0 == $1 ? $0 : "\($0); \($1)" }
        )
    }

    private static func sum(_ left: Int, _ right: Int) -> Int {
        let (sum, overflow) = left.addingReportingOverflow(right)
        return overflow ? .max : sum
    }
}
