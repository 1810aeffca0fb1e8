// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The rows of an outbox in memory: who is next, who is claimed, who has to wait.
///
/// Every step takes constant time for each row it touches, or logarithmic time where a row has to wait; nothing is searched for.
struct OutboxQueue {
    struct LaneKey: Hashable {
        let topic: Topic
        let partitionKey: PartitionKey
    }

    /// What was appended by one commit, to know how old the oldest row is.
    fileprivate final class Batch {
        let time: Timestamp
        var unsent: Int

        init(time: Timestamp, unsent: Int) {
            self.time = time
            self.unsent = unsent
        }
    }

    fileprivate struct Row {
        let id: Int64
        let envelope: Envelope<Bytes>
        let batch: Batch
        var attempts: Int32 = 0
    }

    /// The rows of one key; at most one claim holds rows of it.
    private final class Lane {
        let key: LaneKey
        var rows = Deque<Row>()
        /// How many rows the claim holds that are not settled.
        var inHand = 0
        /// Rows that were put back while others of the claim were still in hand, with their places in the claim.
        var returned: [(place: Int, row: Row)] = []
        var blockedUntil: Timestamp?

        init(key: LaneKey) {
            self.key = key
        }
    }

    private enum Entry {
        case row(Row)
        case lane(Lane)
    }

    private enum Waiting {
        case scheduled(id: Int64, Envelope<Bytes>)
        case row(Row)
        case lane(Lane)
    }

    private struct Claimed {
        let row: Row
        let lane: Lane?
    }

    private struct Claim {
        var expiry: Timestamp
        /// By place; `nil` once settled.
        var rows: [Claimed?]
        var open: Int
    }

    private var lastID: Int64 = 0
    private var lastToken: Int64 = 0
    private var lanes: [LaneKey: Lane] = [:]
    private var ready = Deque<Entry>()
    private var waiting = DueHeap<Waiting>()
    private var claims: [Int64: Claim] = [:]
    private var expiries = DueHeap<Int64>()
    private var batches = DueHeap<Batch>()
    private var finishedBatches = 0
    private var parked = Deque<Timestamp>()

    /// How many rows have not been published, those scheduled for later included.
    private(set) var unsent = 0

    var parkedCount: Int { parked.count }

    // MARK: In

    mutating func append(_ envelopes: [Envelope<Bytes>], now: Timestamp) {
        unsent += envelopes.count
        let scheduled = envelopes.count { $0.attributes.notBefore.map { $0 > now } ?? false }
        let batch = Batch(time: now, unsent: envelopes.count - scheduled)
        if batch.unsent > 0 { batches.insert(batch, due: now) }
        for envelope in envelopes {
            lastID += 1
            if scheduled > 0, let start = envelope.attributes.notBefore, start > now {
                waiting.insert(.scheduled(id: lastID, envelope), due: start)
            } else {
                enqueue(Row(id: lastID, envelope: envelope, batch: batch))
            }
        }
    }

    private mutating func enqueue(_ row: Row) {
        guard let key = row.envelope.attributes.partitionKey else { return ready.append(.row(row)) }
        let laneKey = LaneKey(topic: row.envelope.attributes.topic, partitionKey: key)
        if let lane = lanes[laneKey] {
            // It stands in line already, waits until it is due, or is in hand and stands in line again afterwards.
            return lane.rows.append(row)
        }
        let lane = Lane(key: laneKey)
        lane.rows.append(row)
        lanes[laneKey] = lane
        ready.append(.lane(lane))
    }

    // MARK: Out

    mutating func claim(limit: Int, lease: Duration, now: Timestamp) -> OutboxClaim {
        takeBackExpired(now: now)
        wakeDue(now: now)
        var claimed: [Claimed?] = []
        var rows: [OutboxRow] = []
        claimed.reserveCapacity(min(limit, unsent))
        rows.reserveCapacity(min(limit, unsent))
        while rows.count < limit, let entry = ready.popFirst() {
            switch entry {
            case .row(let row):
                claimed.append(Claimed(row: row, lane: nil))
                rows.append(OutboxRow(row))
            case .lane(let lane):
                while rows.count < limit, let row = lane.rows.popFirst() {
                    lane.inHand += 1
                    claimed.append(Claimed(row: row, lane: lane))
                    rows.append(OutboxRow(row))
                }
            }
        }
        let expiry = now + lease
        lastToken += 1
        if !rows.isEmpty {
            claims[lastToken] = Claim(expiry: expiry, rows: claimed, open: claimed.count)
            expiries.insert(lastToken, due: expiry)
        }
        let nextDue = [waiting.first?.due, expiries.first?.due].compactMap { $0 }.min()
        return OutboxClaim(
            rows: rows, token: FencingToken(number: lastToken), expiry: expiry,
            nextDue: nextDue.map { max(.zero, $0 - now) }
        )
    }

    private mutating func wakeDue(now: Timestamp) {
        while let (due, _) = waiting.first, let next = waiting.popDue(at: now) {
            switch next {
            case .scheduled(let id, let envelope):
                let batch = Batch(time: due, unsent: 1)
                batches.insert(batch, due: due)
                enqueue(Row(id: id, envelope: envelope, batch: batch))
            case .row(let row): ready.append(.row(row))
            case .lane(let lane):
                lane.blockedUntil = nil
                ready.append(.lane(lane))
            }
        }
    }

    private mutating func takeBackExpired(now: Timestamp) {
        while let token = expiries.popDue(at: now) {
            guard let claim = claims[token] else { continue }
            if claim.expiry > now {
                expiries.insert(token, due: claim.expiry)
            } else {
                claims[token] = nil
                putBack(claim.rows.enumerated().compactMap { place, row in row.map { (place, $0) } })
            }
        }
    }

    mutating func renew(_ token: Int64, lease: Duration, now: Timestamp) -> Bool {
        guard let claim = claims[token] else { return false }
        // The entry among the expiries moves on when its time comes.
        claims[token]?.expiry = max(claim.expiry, now + lease)
        return true
    }

    // MARK: Settling

    /// - Returns: How many of the rows the claim does not hold.
    mutating func complete(_ ids: [OutboxRow.ID], token: Int64) -> Int {
        let taken = take(ids, of: token)
        for (_, claimed) in taken.held { finish(claimed) }
        return taken.lost
    }

    /// - Returns: How many of the rows the claim does not hold.
    mutating func park(_ ids: [OutboxRow.ID], token: Int64, now: Timestamp) -> Int {
        let taken = take(ids, of: token)
        for (_, claimed) in taken.held {
            finish(claimed)
            parked.append(now)
        }
        return taken.lost
    }

    /// - Returns: How many of the rows the claim does not hold.
    mutating func release(_ ids: [OutboxRow.ID], token: Int64) -> Int {
        let taken = take(ids, of: token)
        putBack(taken.held)
        return taken.lost
    }

    /// - Returns: How many of the rows the claim does not hold.
    mutating func fail(_ failures: [OutboxFailure], token: Int64, now: Timestamp) -> Int {
        let taken = take(failures.map(\.id), of: token)
        let delays = Dictionary(failures.map { ($0.id.number, $0.retryAfter) }) { first, _ in first }
        for (place, claimed) in taken.held {
            let due = now + max(.zero, delays[claimed.row.id] ?? .zero)
            var row = claimed.row
            row.attempts += row.attempts < .max ? 1 : 0
            if let lane = claimed.lane {
                lane.returned.append((place, row))
                lane.blockedUntil = max(lane.blockedUntil ?? due, due)
                letGo(lane)
            } else {
                waiting.insert(.row(row), due: due)
            }
        }
        return taken.lost
    }

    private mutating func take(
        _ ids: [OutboxRow.ID], of token: Int64
    ) -> (held: [(place: Int, claimed: Claimed)], lost: Int) {
        guard var claim = claims.removeValue(forKey: token) else { return ([], ids.count) }
        var held: [(place: Int, claimed: Claimed)] = []
        held.reserveCapacity(ids.count)
        if ids.count == claim.rows.count, zip(ids, claim.rows).allSatisfy({ $0.number == $1?.row.id }) {
            for (place, row) in claim.rows.enumerated() { if let row { held.append((place, row)) } }
            return (held, 0)
        }
        var places: [Int64: Int] = [:]
        for (place, row) in claim.rows.enumerated() { if let row { places[row.row.id] = place } }
        for id in ids {
            guard let place = places.removeValue(forKey: id.number), let row = claim.rows[place].take() else {
                continue
            }
            held.append((place, row))
        }
        claim.open -= held.count
        if claim.open > 0 { claims[token] = claim }
        return (held, ids.count - held.count)
    }

    private mutating func finish(_ claimed: Claimed) {
        unsent -= 1
        let batch = claimed.row.batch
        batch.unsent -= 1
        if batch.unsent == 0 {
            finishedBatches += 1
            while let first = batches.first?.value, first.unsent == 0 {
                batches.popFirst()
                finishedBatches -= 1
            }
            if finishedBatches > 64, finishedBatches > batches.count / 2 {
                batches.filter { $0.unsent > 0 }
                finishedBatches = 0
            }
        }
        if let lane = claimed.lane { letGo(lane) }
    }

    private mutating func putBack(_ rows: [(place: Int, claimed: Claimed)]) {
        var loose: [Entry] = []
        for (place, claimed) in rows {
            if let lane = claimed.lane {
                lane.returned.append((place, claimed.row))
                letGo(lane)
            } else {
                loose.append(.row(claimed.row))
            }
        }
        ready.prepend(loose)
    }

    /// One row of the lane is no longer in hand; with the last one the lane stands in line again.
    private mutating func letGo(_ lane: Lane) {
        lane.inHand -= 1
        guard lane.inHand == 0 else { return }
        if !lane.returned.isEmpty {
            lane.returned.sort { $0.place < $1.place }
            lane.rows.prepend(lane.returned.map(\.row))
            lane.returned = []
        }
        if lane.rows.isEmpty {
            lanes[lane.key] = nil
        } else if let due = lane.blockedUntil {
            waiting.insert(.lane(lane), due: due)
        } else {
            ready.append(.lane(lane))
        }
    }

    // MARK: Looking

    /// Since when the oldest row that is due could have been published.
    func oldest(now: Timestamp) -> Timestamp? {
        // A row scheduled for a time that has come counts also before a claim notices it.
        let scheduled = waiting.first.flatMap { first -> Timestamp? in
            if case .scheduled = first.value, first.due <= now { first.due } else { nil }
        }
        return [batches.first?.due, scheduled].compactMap { $0 }.min()
    }

    mutating func sweep(doneBefore time: Timestamp, limit: Int) -> Int {
        var swept = 0
        while swept < limit, let first = parked.first, first < time {
            _ = parked.popFirst()
            swept += 1
        }
        return swept
    }
}

extension OutboxRow {
    fileprivate init(_ row: OutboxQueue.Row) {
        self.init(
            id: ID(number: row.id), envelope: row.envelope, attempts: Int(row.attempts), due: row.batch.time
        )
    }
}
