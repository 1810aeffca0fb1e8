// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What is remembered of one rule in one queue and tier.
struct AlertStatus: Codable, Hashable, Sendable {
    enum Phase: String, Codable, Sendable {
        /// There are letters, and not all sinks have been told.
        case raising
        case raised
        /// The letters have left, and not all sinks have been told.
        case resolving
    }

    var rule: String
    var queue: DeadLetterQueueName
    var tier: DeadLetterTier
    var phase: Phase
    /// The sinks that have been told, by their index.
    var delivered: Set<Int> = []
    /// Who tells the others, and until when that is to be waited for.
    var owner: String?
    var ownedUntil: Timestamp?
}

/// One look at the dead letters.
struct AlertWatch<DB: DeadLetterDatabase & TableDatabase>: Sendable {
    /// An alert to be sent by whoever found it.
    struct Due: Sendable {
        let alert: DeadLetterAlert
        let key: String
        let owner: String
        let delivered: Set<Int>
    }

    /// Of letters that are not counted by group, how many are counted at most.
    private static var mostCounted: Int { 1000 }

    let queue: DeadLetterQueue<DB>
    let service: String
    let rules: [AlertRule]
    let now: Timestamp
    /// How long another monitor may take to send an alert.
    let patience: Duration

    private var database: DB { queue.database }
    private var statuses: Table<DB, AlertStatus> { Table("dovetail.alerts", in: database) }
    /// When each service last looked to the end.
    private var looks: Table<DB, Timestamp> { Table("dovetail.alert-looks", in: database) }

    private struct Shelf: Hashable {
        let queue: DeadLetterQueueName
        let tier: DeadLetterTier
    }

    /// Finds what is to be sent, and reserves it for the owner.
    func findDue(owner: String) async throws -> [Due] {
        let groups = try await queue.allGroups()
        let known = try await statuses.all(prefix: prefix)
        let lastLook = try await looks.get(service) ?? .earliest
        var shelves: [Shelf] = []
        for shelf in groups.map({ Shelf(queue: $0.id.queue, tier: $0.id.tier) })
            + known.map({ Shelf(queue: $0.row.queue, tier: $0.row.tier) })
        where !shelves.contains(shelf) {
            shelves.append(shelf)
        }
        var due: [Due] = []
        for rule in rules {
            for shelf in shelves where !rule.filter.excludes(DeadLetterFilter(queue: shelf.queue, tier: shelf.tier)) {
                let key = key(of: rule, shelf)
                let entry = known.first { $0.key == key }
                // What came while nobody looked counts too, however long ago.
                let since = min(now - rule.window, lastLook)
                guard let alert = try await self.alert(rule, shelf, entry?.row, since: since, groups) else { continue }
                if let reserved = try await reserve(alert, key, entry, owner) { due.append(reserved) }
            }
        }
        return due
    }

    /// What is to be said of a queue and tier; `nil` if nothing is.
    private func alert(
        _ rule: AlertRule, _ shelf: Shelf, _ status: AlertStatus?, since: Timestamp, _ groups: [DeadLetterGroup]
    ) async throws -> DeadLetterAlert? {
        var filter = rule.filter
        (filter.queue, filter.tier) = (shelf.queue, shelf.tier)
        var recent = filter
        recent.since = max(since, rule.filter.since ?? .earliest)
        let (all, new) = (filter, recent)
        let (count, recentCount) = try await database.withReadTransaction { tx in
            (
                try await database.deadLetterStore.count(all, atMost: countLimit(all), in: tx),
                try await database.deadLetterStore.count(new, atMost: rule.threshold, in: tx)
            )
        }
        let kind: DeadLetterAlert.Kind
        // A sink that cannot be told keeps a phase from its end, and must not keep the others from the next one.
        switch status?.phase {
        case nil where recentCount >= rule.threshold, .raising? where count > 0: kind = .raised
        case .resolving? where recentCount >= rule.threshold: kind = .raised
        case .raised? where count == 0, .raising?, .resolving?: kind = .resolved
        default: return nil
        }
        let largest = groups.filter { $0.id.queue == shelf.queue && $0.id.tier == shelf.tier && matches($0, filter) }
            .max { ($0.count, $1.id) < ($1.count, $0.id) }
        return DeadLetterAlert(
            kind, rule: rule, service: service, queue: shelf.queue, tier: shelf.tier, count: count,
            group: kind == .raised ? largest : nil, time: now)
    }

    private func countLimit(_ filter: DeadLetterFilter) -> Int {
        let isByGroup =
            filter.tenant == nil && filter.topic == nil && filter.since == nil && filter.before == nil
            && filter.text == nil && filter.letters == nil && filter.messages == nil
        return isByGroup ? .max : Self.mostCounted
    }

    private func matches(_ group: DeadLetterGroup, _ filter: DeadLetterFilter) -> Bool {
        (filter.reason ?? group.reason) == group.reason && (filter.consumer ?? group.consumer) == group.consumer
            && (filter.fingerprint ?? group.id.fingerprint) == group.id.fingerprint
            && (filter.type == nil || filter.type == group.type)
    }

    /// Writes down that this monitor is about to send it, unless another one is.
    private func reserve(
        _ alert: DeadLetterAlert, _ key: String, _ entry: Table<DB, AlertStatus>.Entry?, _ owner: String
    ) async throws -> Due? {
        let phase: AlertStatus.Phase = alert.kind == .raised ? .raising : .resolving
        // Of the phase before as well, or its end might be told first.
        if let end = entry?.row.ownedUntil, end > now { return nil }
        var status = AlertStatus(rule: alert.rule.name, queue: alert.queue, tier: alert.tier, phase: phase)
        // Sinks that were told already, before another one failed, are not told again.
        if let row = entry?.row, row.phase == phase { status.delivered = row.delivered }
        (status.owner, status.ownedUntil) = (owner, now + patience)
        let (reserved, version) = (status, entry?.version ?? 0)
        do {
            _ = try await database.withTransaction { tx in
                try await statuses.put(reserved, at: key, expecting: version, in: tx)
            }
        } catch let error as DatabaseError where error.code == .versionConflict {
            return nil
        }
        return Due(alert: alert, key: key, owner: owner, delivered: status.delivered)
    }

    /// Has others wait on while a sink is told: those before it may have taken long.
    ///
    /// - Returns: Whether it is still this monitor's to send.
    func renew(_ due: Due, at time: Timestamp) async throws -> Bool {
        try await database.withTransaction { tx in
            guard let entry = try await statuses.entry(due.key, in: tx) else { return false }
            var status = entry.row
            guard status.owner == due.owner else { return false }
            status.ownedUntil = time + patience
            try await statuses.put(status, at: due.key, expecting: entry.version, in: tx)
            return true
        }
    }

    /// Writes down which sinks have been told.
    ///
    /// - Returns: Whether it was still this monitor's to send.
    func settle(_ due: Due, delivered: Set<Int>, of sinks: Int) async throws -> Bool {
        try await database.withTransaction { tx in
            guard let entry = try await statuses.entry(due.key, in: tx), entry.row.owner == due.owner else {
                return false
            }
            var status = entry.row
            status.delivered = delivered
            (status.owner, status.ownedUntil) = (nil, nil)
            guard delivered.count >= sinks else {
                try await statuses.put(status, at: due.key, expecting: entry.version, in: tx)
                return true
            }
            if status.phase == .resolving {
                try await statuses.delete(due.key, in: tx)
            } else {
                status.phase = .raised
                status.delivered = []
                try await statuses.put(status, at: due.key, expecting: entry.version, in: tx)
            }
            return true
        }
    }

    /// Writes down that everything until now has been looked at.
    func finish() async throws {
        _ = try await database.withTransaction { tx in
            let last = try await looks.get(service, in: tx) ?? .earliest
            if last < now { try await looks.put(now, at: service, in: tx) }
        }
    }

    // Lengths keep names apart, whatever characters they contain.
    private var prefix: String { "\(service.utf8.count):\(service):" }

    private func key(of rule: AlertRule, _ shelf: Shelf) -> String {
        let names = [rule.name, shelf.queue.rawValue, shelf.tier.rawValue]
        return prefix + names.map { "\($0.utf8.count):\($0)" }.joined(separator: ":")
    }
}
