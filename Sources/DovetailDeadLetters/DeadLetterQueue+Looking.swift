// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension DeadLetterQueue {
    /// How many groups are read at once.
    private static var groupPage: Int { 500 }

    /// Reads letters in the order in which they came.
    ///
    /// ```swift
    /// var place: Int64 = 0
    /// while true {
    ///     let page = try await letters.find(DeadLetterFilter(tenant: "acme"), after: place)
    ///     guard let last = page.last?.place else { break }
    ///     place = last
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - place: Only those behind this place, such as that of the last letter of the page before; 0 for the first page.
    ///   - limit: The most letters to return.
    /// - Returns: The letters.
    /// - Throws: `DatabaseError`.
    public func find(
        _ filter: DeadLetterFilter = .all, after place: Int64 = 0, limit: Int = 100
    ) async throws -> [DeadLetter] {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.find(filter, after: place, limit: limit, in: tx)
        }
    }

    /// Reads a letter.
    ///
    /// - Parameter id: The letter.
    /// - Returns: The letter; `nil` if it is not there.
    /// - Throws: `DatabaseError`.
    public func letter(_ id: String) async throws -> DeadLetter? {
        try await database.withReadTransaction { tx in try await database.deadLetterStore.letter(id, in: tx) }
    }

    /// Counts letters.
    ///
    /// By queue, tier, reason, fingerprint, type and consumer, letters are counted without reading them.
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - limit: From which number on it does not matter how many there are.
    /// - Returns: How many there are, the limit at most.
    /// - Throws: `DatabaseError`.
    public func count(_ filter: DeadLetterFilter, atMost limit: Int = .max) async throws -> Int {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.count(filter, atMost: limit, in: tx)
        }
    }

    /// Reads the groups of letters that failed in the same way at the same place.
    ///
    /// - Parameters:
    ///   - queue: Only those of this queue.
    ///   - tier: Only those of this tier.
    /// - Returns: The groups, that with most letters first.
    /// - Throws: `DatabaseError`.
    public func groups(
        in queue: DeadLetterQueueName? = nil, tier: DeadLetterTier? = nil
    ) async throws -> [DeadLetterGroup] {
        try await allGroups()
            .filter { ($0.id.queue == queue || queue == nil) && ($0.id.tier == tier || tier == nil) }
            .sorted { ($1.count, $0.id) < ($0.count, $1.id) }
    }

    /// Reads the group of letters with a fingerprint, all queues and tiers together.
    ///
    /// - Parameter fingerprint: What the letters have in common.
    /// - Returns: The group, under the queue and tier that has most of its letters; `nil` if there is no such letter.
    /// - Throws: `DatabaseError`.
    public func group(_ fingerprint: DeadLetterFingerprint) async throws -> DeadLetterGroup? {
        let parts = try await groups().filter { $0.id.fingerprint == fingerprint }
        guard var group = parts.first else { return nil }
        for part in parts.dropFirst() {
            group.count += part.count
            group.first = min(group.first, part.first)
            if part.last > group.last {
                (group.last, group.failure, group.example) = (part.last, part.failure, part.example)
            }
        }
        return group
    }

    /// Counts the letters of each queue, tier and reason, without reading them.
    ///
    /// - Returns: The counts.
    /// - Throws: `DatabaseError`.
    public func counts() async throws -> DeadLetterCounts {
        DeadLetterCounts(try await allGroups())
    }

    /// Reads what is remembered of a message's former letters.
    ///
    /// - Parameters:
    ///   - message: The message.
    ///   - limit: The most records to return; the last ones, if there are more.
    /// - Returns: The records, in the order in which the letters left.
    /// - Throws: `DatabaseError`.
    public func history(of message: MessageID, limit: Int = 100) async throws -> [DeadLetterRecord] {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.history(of: message, limit: limit, in: tx)
        }
    }

    func allGroups() async throws -> [DeadLetterGroup] {
        try await database.withReadTransaction { tx in
            var groups: [DeadLetterGroup] = []
            while true {
                let page = try await database.deadLetterStore.groups(
                    after: groups.last?.id, limit: Self.groupPage, in: tx)
                groups += page
                if page.count < Self.groupPage { return groups }
            }
        }
    }
}

/// How many dead letters there are.
public struct DeadLetterCounts: Sendable, Hashable {
    /// Those of one queue and tier.
    public struct Shelf: Sendable, Hashable {
        /// The queue.
        public let queue: DeadLetterQueueName

        /// The tier.
        public let tier: DeadLetterTier

        /// How many letters there are.
        public internal(set) var total = 0

        /// How many there are of each reason.
        public internal(set) var reasons: [DeadLetterReason: Int] = [:]

        /// When the last one came.
        public internal(set) var last: Timestamp
    }

    /// The queues and tiers that have letters, by name.
    public let shelves: [Shelf]

    init(_ groups: [DeadLetterGroup]) {
        var shelves: [Shelf] = []
        // Groups come in the order of queues and tiers.
        for group in groups {
            if shelves.last.map({ $0.queue != group.id.queue || $0.tier != group.id.tier }) ?? true {
                shelves.append(Shelf(queue: group.id.queue, tier: group.id.tier, last: group.last))
            }
            let end = shelves.count - 1
            shelves[end].total += group.count
            shelves[end].reasons[group.reason, default: 0] += group.count
            shelves[end].last = max(shelves[end].last, group.last)
        }
        self.shelves = shelves
    }

    /// How many letters there are in all.
    public var total: Int { shelves.reduce(0) { $0 + $1.total } }

    /// How many letters there are of each reason.
    public var reasons: [DeadLetterReason: Int] {
        shelves.reduce(into: [:]) { sums, shelf in sums.merge(shelf.reasons) { $0 + $1 } }
    }
}
