// SPDX-License-Identifier: Apache-2.0

/// How many calls ended within a window, and how.
public struct CallFigures: Sendable, Hashable {
    /// How many calls ended as successes or failures.
    public let total: Int

    /// How many of them failed.
    public let failures: Int

    /// How many of them were slow, failures included.
    public let slow: Int

    /// How many of them were slow and failed.
    public let slowFailures: Int

    /// Creates figures.
    ///
    /// - Parameters:
    ///   - total: How many calls ended.
    ///   - failures: How many of them failed.
    ///   - slow: How many of them were slow.
    ///   - slowFailures: How many of them were slow and failed.
    public init(total: Int = 0, failures: Int = 0, slow: Int = 0, slowFailures: Int = 0) {
        self.total = total
        self.failures = failures
        self.slow = slow
        self.slowFailures = slowFailures
    }

    /// How many of the calls succeeded.
    public var successes: Int { total - failures }

    /// How many of the calls were slow and succeeded.
    public var slowSuccesses: Int { slow - slowFailures }

    /// The part of the calls that failed, from 0 to 1.
    ///
    /// - Parameter minimum: How many calls it takes for a rate to mean anything.
    /// - Returns: The rate; `nil` with fewer calls, and without any.
    public func failureRate(minimum: Int = 1) -> Double? {
        total >= max(1, minimum) ? Double(failures) / Double(total) : nil
    }

    /// The part of the calls that were slow, from 0 to 1.
    ///
    /// - Parameter minimum: How many calls it takes for a rate to mean anything.
    /// - Returns: The rate; `nil` with fewer calls, and without any.
    public func slowCallRate(minimum: Int = 1) -> Double? {
        total >= max(1, minimum) ? Double(slow) / Double(total) : nil
    }
}
