// SPDX-License-Identifier: Apache-2.0

/// How long messages take that come at a steady rate.
public struct LatencyRow: Sendable {
    /// One side of a row: what is done, and how many nanoseconds each message took.
    public struct Side: Sendable {
        /// Says in a few words what is done.
        public let name: String

        private let times: @Sendable (_ count: Int) async throws -> [Int64]

        init(_ name: String, _ times: @escaping @Sendable (_ count: Int) async throws -> [Int64]) {
            self.name = name
            self.times = times
        }

        /// Sends that many messages, and some before that are not measured.
        ///
        /// - Parameter count: How many messages to send.
        /// - Returns: The times, shortest first.
        /// - Throws: What the sending throws.
        @concurrent
        public func measure(_ count: Int) async throws -> Percentiles {
            let warmUp = min(count, 100)
            return Percentiles(Array(try await times(warmUp + count).dropFirst(warmUp)))
        }
    }

    /// Times in milliseconds.
    public struct Percentiles: Sendable {
        private let sorted: [Int64]

        init(_ nanoseconds: [Int64]) {
            sorted = nanoseconds.sorted()
        }

        /// The time within which so many of a thousand were there.
        ///
        /// - Parameter perMille: How many of a thousand.
        /// - Returns: The time.
        public func milliseconds(within perMille: Int) -> Double {
            guard let last = sorted.last else { return 0 }
            let index = (sorted.count * perMille + 999) / 1000 - 1
            return Double(sorted.indices.contains(index) ? sorted[index] : last) / 1e6
        }
    }

    /// Names the row.
    public let name: String

    /// How many messages are sent.
    public let count: Int

    /// Within how many milliseconds 99 of 100 must be there; `nil` if nothing was agreed on.
    public let budget: Double?

    /// The path of the library, and the same without it.
    public let sides: [Side]

    init(_ name: String, count: Int, budget: Double? = nil, _ sides: Side...) {
        self.name = name
        self.count = count
        self.budget = budget
        self.sides = sides
    }
}
