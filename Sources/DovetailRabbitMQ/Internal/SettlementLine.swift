// SPDX-License-Identifier: Apache-2.0

/// Which deliveries of a channel are settled, and how to say so with few words.
///
/// The broker takes one acknowledgement for all deliveries up to one. What was settled before an earlier one is acknowledged by
/// itself, at once, so that it does not come again after a crash.
struct SettlementLine: Sendable {
    enum Word: Sendable, Hashable {
        case acknowledge(upTo: UInt64)
        case acknowledgeOne(UInt64)
        case reject(UInt64)
    }

    /// The numbers that the broker waits to hear about, in order.
    private var open: [UInt64] = []

    /// How many deliveries are not settled.
    var count: Int { open.count }

    mutating func received(_ tag: UInt64) { open.append(tag) }

    /// Puts into words what was settled, in any order; leaves out what is settled already.
    mutating func settle(acknowledged: [UInt64], rejected: [UInt64]) -> [Word] {
        let (acknowledged, rejected) = (Set(acknowledged), Set(rejected))
        var words: [Word] = []
        // Rejected ones first: they must not be among those that are acknowledged together.
        for tag in open where rejected.contains(tag) { words.append(.reject(tag)) }
        if !rejected.isEmpty { open.removeAll { rejected.contains($0) } }
        let run = open.prefix { acknowledged.contains($0) }
        if let last = run.last {
            words.append(run.count == 1 ? .acknowledgeOne(last) : .acknowledge(upTo: last))
            open.removeFirst(run.count)
        }
        if acknowledged.count > run.count {
            let single = open.filter { acknowledged.contains($0) }
            words += single.map { .acknowledgeOne($0) }
            if !single.isEmpty { open.removeAll { acknowledged.contains($0) } }
        }
        return words
    }
}
