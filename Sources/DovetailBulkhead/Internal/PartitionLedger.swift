// SPDX-License-Identifier: Apache-2.0

/// The accounts of a partitioned bulkhead.
struct PartitionLedger: Sendable {
    let limit: Int
    private let shares: [Int]
    private var used: [Int]
    private(set) var inUse = 0

    init(limit: Int, shares: [Int]) {
        self.shares = shares.map { min(max(0, $0), Int(Int32.max)) }
        self.limit = max(limit, self.shares.reduce(0, +))
        used = shares.map { _ in 0 }
    }

    /// Takes a permit of a share, or one that is lent to it.
    mutating func take(_ share: Int) -> Bool {
        guard used[share] < shares[share] || inUse < limit else { return false }
        used[share] += 1
        inUse += 1
        return true
    }

    /// Takes a permit back.
    mutating func give(_ share: Int) {
        used[share] -= 1
        inUse -= 1
    }
}
