// SPDX-License-Identifier: Apache-2.0

/// The figures of a bulkhead at one moment.
///
/// ```swift
/// let figures = pricing.snapshot()
/// print("\(figures.inUse) of \(figures.limit), \(figures.waiting) waiting")
/// ```
public struct BulkheadSnapshot: Sendable, Hashable {
    /// The name of the bulkhead.
    public let name: String

    /// How many permits may be out.
    public let limit: Int

    /// How many permits are out; above the limit while calls that began under a larger one are still under way.
    public let inUse: Int

    /// How many callers wait.
    public let waiting: Int

    /// How many callers were turned away since the beginning, those whose wait timed out included and those who were cancelled
    /// not.
    public let rejected: Int

    /// Creates figures.
    ///
    /// - Parameters:
    ///   - name: The name of the bulkhead.
    ///   - limit: How many permits may be out.
    ///   - inUse: How many permits are out.
    ///   - waiting: How many callers wait.
    ///   - rejected: How many callers were turned away since the beginning.
    public init(name: String, limit: Int, inUse: Int, waiting: Int, rejected: Int) {
        self.name = name
        self.limit = limit
        self.inUse = inUse
        self.waiting = waiting
        self.rejected = rejected
    }
}
