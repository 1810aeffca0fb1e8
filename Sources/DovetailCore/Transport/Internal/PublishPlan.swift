// SPDX-License-Identifier: Apache-2.0

/// In which order the envelopes of one call are sent, and what becomes of those behind one that failed.
///
/// A producer that has several messages under way cannot take back the later ones when an earlier one fails for good. So of
/// each topic and key only one message is under way at a time, and the next one is sent once it is stored. Messages of
/// different keys, and those without one, are under way side by side.
package struct PublishPlan: Sendable {
    private struct Lane: Hashable {
        let topic: Topic
        let key: PartitionKey
    }

    private enum Entry: Sendable {
        case waiting
        case done(PublishResult)
    }

    private var entries: [Entry]
    /// The next envelope of the same topic and key.
    private var next: [Int?]

    /// The envelopes that wait for no other.
    package let first: [Int]

    /// How many envelopes have no result yet.
    package private(set) var remaining: Int

    package init(_ envelopes: [Envelope<Bytes>]) {
        entries = Array(repeating: .waiting, count: envelopes.count)
        next = Array(repeating: nil, count: envelopes.count)
        remaining = envelopes.count
        var first: [Int] = []
        var last: [Lane: Int] = [:]
        for index in envelopes.indices {
            guard let key = envelopes[index].attributes.partitionKey else {
                first.append(index)
                continue
            }
            let lane = Lane(topic: envelopes[index].attributes.topic, key: key)
            if let previous = last.updateValue(index, forKey: lane) {
                next[previous] = index
            } else {
                first.append(index)
            }
        }
        self.first = first
    }

    /// Notes what became of an envelope; does nothing if that is known.
    ///
    /// - Returns: The envelope to send now; `nil` if there is none, or if it failed before its turn came.
    package mutating func finish(_ index: Int, _ result: PublishResult, of envelopes: [Envelope<Bytes>]) -> Int? {
        guard isWaiting(index) else { return nil }
        entries[index] = .done(result)
        remaining -= 1
        guard result.error != nil else { return next[index].flatMap { isWaiting($0) ? $0 : nil } }
        var follower = next[index]
        while let index = follower, isWaiting(index) {
            let attributes = envelopes[index].attributes
            let error = TransportError(
                .notAttempted,
                "The message '\(attributes.id)' was not sent because an earlier one of the key "
                    + "'\(attributes.partitionKey ?? "")' failed. Publish both again, in their order."
            )
            entries[index] = .done(.failed(error))
            remaining -= 1
            follower = next[index]
        }
        return nil
    }

    /// Whether an envelope has no result yet.
    package func isWaiting(_ index: Int) -> Bool {
        if case .waiting = entries[index] { true } else { false }
    }

    /// The results, in the order of the envelopes; `nil` while one is missing.
    package var results: [PublishResult]? {
        guard remaining == 0 else { return nil }
        return entries.compactMap { if case .done(let result) = $0 { result } else { nil } }
    }
}
