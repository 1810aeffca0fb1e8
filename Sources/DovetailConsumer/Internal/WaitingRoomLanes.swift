// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The lanes of all waiting rooms of a database in memory: a pure value.
struct WaitingRoomLanes: Sendable {
    /// What a transaction changes when it commits.
    enum Change: Sendable {
        case admit([WaitingEntry], after: Duration)
        case block(WaitingLane, consumer: String, followers: [WaitingEntry])
        case release(WaitingLane, consumer: String, restored: [WaitingEntry])
    }

    private struct Place: Sendable {
        var entry: WaitingEntry
        let since: Timestamp
    }

    private struct Lane: Sendable {
        /// Tells which of two lanes that are due at one moment was there first.
        let number: UInt64
        var places: [Place] = []
        var due: Timestamp
        var isBlocked = false
        var token: FencingToken?
        var leaseEnd = Timestamp.earliest

        func isClaimable(at now: Timestamp) -> Bool { claimable <= now && canBeClaimed }
        var canBeClaimed: Bool { !isBlocked && !places.isEmpty }
        /// When it can be claimed, if it can be at all.
        var claimable: Timestamp { token == nil ? due : max(due, leaseEnd) }
    }

    private var consumers: [String: [WaitingLane: Lane]] = [:]
    private var lastNumber: UInt64 = 0
    private var lastToken: Int64 = 0

    // MARK: Coming in

    mutating func apply(_ change: Change, now: Timestamp) {
        switch change {
        case .admit(let entries, let delay):
            for entry in entries { append(entry, to: entry.lane, of: entry.consumer, due: now + delay, now: now) }
        case .block(let lane, let consumer, let followers):
            make(lane, of: consumer, due: now)
            consumers[consumer]?[lane]?.isBlocked = true
            for entry in followers { append(entry, to: lane, of: consumer, due: now, now: now) }
        case .release(let lane, let consumer, let restored):
            release(lane, of: consumer, restoring: restored, now: now)
        }
    }

    private mutating func make(_ lane: WaitingLane, of consumer: String, due: Timestamp) {
        guard consumers[consumer]?[lane] == nil else { return }
        lastNumber += 1
        consumers[consumer, default: [:]][lane] = Lane(number: lastNumber, due: due)
    }

    private mutating func append(
        _ entry: WaitingEntry, to lane: WaitingLane, of consumer: String, due: Timestamp, now: Timestamp
    ) {
        make(lane, of: consumer, due: due)
        guard let places = consumers[consumer]?[lane]?.places, !places.contains(where: { $0.entry.id == entry.id })
        else { return }
        if places.isEmpty { consumers[consumer]?[lane]?.due = due }
        consumers[consumer]?[lane]?.places.append(Place(entry: entry, since: now))
    }

    private mutating func release(
        _ lane: WaitingLane, of consumer: String, restoring restored: [WaitingEntry], now: Timestamp
    ) {
        if !restored.isEmpty { make(lane, of: consumer, due: now) }
        guard var state = consumers[consumer]?[lane] else { return }
        let added = Set(restored.map(\.id))
        state.places.removeAll { added.contains($0.entry.id) }
        state.places.insert(contentsOf: restored.map { Place(entry: $0, since: now) }, at: 0)
        if state.isBlocked || !restored.isEmpty { state.due = now }
        state.isBlocked = false
        consumers[consumer]?[lane] = state.places.isEmpty ? nil : state
    }

    // MARK: Going out

    func isOccupied(_ lane: WaitingLane, of consumer: String) -> Bool {
        consumers[consumer]?[lane] != nil
    }

    mutating func claimDue(
        for consumer: String, limit: Int, entriesPerLane: Int, lease: Duration, now: Timestamp
    ) -> [ClaimedLane] {
        guard let lanes = consumers[consumer] else { return [] }
        let due = lanes.filter { $0.value.isClaimable(at: now) }
            .sorted { ($0.value.claimable, $0.value.number) < ($1.value.claimable, $1.value.number) }
            .prefix(limit)
        return due.map { name, lane in
            lastToken += 1
            let token = FencingToken(number: lastToken)
            var lane = lane
            // The last claim was not ended: whoever had it may be gone because of this message.
            if lane.token != nil, let first = lane.places.first { lane.places[0].entry = first.entry.lost() }
            lane.token = token
            lane.leaseEnd = now + lease
            consumers[consumer]?[name] = lane
            return ClaimedLane(lane: name, token: token, entries: lane.places.prefix(entriesPerLane).map(\.entry))
        }
    }

    /// Whether a claim still holds a lane.
    func holds(_ lane: WaitingLane, of consumer: String, _ token: FencingToken) -> Bool {
        consumers[consumer]?[lane]?.token == token
    }

    mutating func renew(_ lane: WaitingLane, of consumer: String, until end: Timestamp) {
        consumers[consumer]?[lane]?.leaseEnd = end
    }

    mutating func complete(_ entry: WaitingEntry, blocks: Bool, now: Timestamp) {
        guard var lane = consumers[entry.consumer]?[entry.lane] else { return }
        lane.places.removeAll { $0.entry.id == entry.id }
        lane.due = now
        if blocks { lane.isBlocked = true }
        consumers[entry.consumer]?[entry.lane] = lane.places.isEmpty && !lane.isBlocked ? nil : lane
    }

    mutating func reschedule(_ entry: WaitingEntry, after delay: Duration, now: Timestamp) {
        guard var lane = consumers[entry.consumer]?[entry.lane],
            let index = lane.places.firstIndex(where: { $0.entry.id == entry.id })
        else { return }
        lane.places[index].entry = entry
        lane.due = now + delay
        lane.token = nil
        consumers[entry.consumer]?[entry.lane] = lane
    }

    mutating func handBack(_ lane: WaitingLane, of consumer: String) {
        consumers[consumer]?[lane]?.token = nil
    }

    // MARK: Looking on

    func timeUntilDue(for consumer: String, now: Timestamp) -> Duration? {
        consumers[consumer]?.values.lazy.filter(\.canBeClaimed).map(\.claimable).min().map { max(.zero, $0 - now) }
    }

    func statistics(for consumer: String, now: Timestamp) -> WaitingRoomStatistics {
        var statistics = WaitingRoomStatistics()
        for lane in (consumers[consumer] ?? [:]).values {
            if lane.isBlocked {
                statistics.blockedLanes += 1
                statistics.blocked += lane.places.count
            } else {
                statistics.waiting += lane.places.count
            }
            for place in lane.places { statistics.oldest = max(statistics.oldest ?? .zero, now - place.since) }
        }
        return statistics
    }

    /// The messages that time alone will bring on.
    var waiting: Int {
        consumers.values.reduce(0) { sum, lanes in
            lanes.values.reduce(sum) { $1.isBlocked ? $0 : $0 + $1.places.count }
        }
    }
}
