// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension DeadLetterQueue {
    /// How many letters are removed in one transaction.
    private static var discardPage: Int { 500 }

    /// Puts a message aside by hand.
    ///
    /// - Parameters:
    ///   - envelope: The message; it must have been taken out of the flow already.
    ///   - topic: The topic it was read from; that in its envelope if `nil`.
    ///   - note: Why, and who says so; redacted.
    ///   - reason: The reason.
    /// - Returns: The letter.
    /// - Throws: `DatabaseError`.
    @discardableResult
    public func putAside(
        _ envelope: Envelope<Bytes>, of topic: Topic? = nil, note: String, reason: DeadLetterReason = .manual
    ) async throws -> DeadLetter {
        let topic = topic ?? envelope.attributes.topic
        let content = Delivery.Content.envelope(envelope)
        let letter = DeadLetter(
            id: DeadLetter.makeID(of: content, topic: topic, position: "", consumer: "by hand"), content: content,
            topic: topic, position: "", consumer: "by hand", attempts: 0, reason: reason,
            failure: FailureDetail(type: "by hand", message: note), time: runtime.time.now())
        try await capture([letter])
        runtime.instrument?.record(MessageDeadLettered(letter))
        return letter
    }

    /// Removes letters that are not needed any more, among those that are there now.
    ///
    /// What happened to their messages is remembered; their payloads are gone.
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - note: Why, and who says so; redacted.
    /// - Returns: How many were removed.
    /// - Throws: `DatabaseError`; what was removed until then stays so.
    @discardableResult
    public func discard(_ filter: DeadLetterFilter, note: String) async throws -> Int {
        let store = database.deadLetterStore
        let end = try await database.withReadTransaction { tx in try await store.lastPlace(in: tx) }
        let removal = DeadLetterRemoval(.discarded, at: runtime.time.now(), note: runtime.redacted(note, of: nil))
        var (count, place): (Int, Int64) = (0, 0)
        while true {
            let start = place
            let (removed, last) = try await database.withTransaction { tx -> (Int, Int64?) in
                let page = try await store.find(filter, after: start, limit: Self.discardPage, in: tx)
                    .prefix { ($0.place ?? 0) <= end }
                guard let last = page.last?.place else { return (0, nil) }
                return (try await store.remove(page.map(\.id), removal, in: tx).count, last)
            }
            guard let last else { break }
            count += removed
            place = last
        }
        if count > 0 { runtime.instrument?.record(DeadLettersRemoved(count: count, exit: .discarded)) }
        return count
    }
}
