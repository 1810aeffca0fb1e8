// SPDX-License-Identifier: Apache-2.0

/// A set of keys that forgets.
struct ExpiringKeys<Key: Hashable & Sendable>: Sendable {
    /// When each expires, in milliseconds.
    private var expiries: [Key: Int64] = [:]
    private var lines = ExpiryLines<Key>()

    var isEmpty: Bool { expiries.isEmpty }

    func contains(_ key: Key, at now: Int64) -> Bool {
        expiries[key].map { $0 > now } ?? false
    }

    mutating func insert(_ key: Key, at now: Int64, span: Int64) {
        let (sum, overflow) = now.addingReportingOverflow(span)
        let expiry = overflow ? .max : sum
        expiries[key] = expiry
        lines.append(key, expiry: expiry, span: span)
    }

    mutating func sweep(at now: Int64, limit: Int) -> Int {
        let forgotten = lines.sweep(at: now, limit: limit) { entry in
            // A key that came again after it had expired stands in a line twice, and stays.
            guard expiries[entry.key] == entry.expiry else { return false }
            expiries[entry.key] = nil
            return true
        }
        // A dictionary does not give memory back by itself.
        if expiries.count < expiries.capacity / 8 { expiries = Dictionary(uniqueKeysWithValues: Array(expiries)) }
        return forgotten
    }
}
