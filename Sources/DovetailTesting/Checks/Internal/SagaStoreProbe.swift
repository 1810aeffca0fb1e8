// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga

/// The checks of a saga store: what they share, and those about beginning and claiming.
struct SagaStoreProbe<DB: SagaDatabase>: Sendable {
    let probe: CheckProbe
    let database: DB

    init(_ probe: CheckProbe, on database: DB) {
        self.probe = probe
        self.database = database
    }

    var store: DB.Sagas { database.sagaStore }

    /// Long enough that it does not end within a check.
    var longLease: Duration { .seconds(3600) }

    // MARK: Sagas

    func row(_ id: SagaID, name: String = "check", status: SagaStatus = .running, at time: Timestamp) -> SagaRow {
        SagaRow(
            id: id, name: name, version: 1, status: status, fingerprint: "f", state: Bytes("{}".utf8),
            progress: Bytes("{}".utf8), started: time, changed: time)
    }

    func record(_ number: Int64, of id: SagaID, at time: Timestamp) -> SagaRecord {
        SagaRecord(sagaID: id, number: number, time: time, kind: .stepDone, step: "step \(number)")
    }

    /// The time by the store's clock, in the whole microseconds that every store keeps.
    func now() async throws -> Timestamp {
        let now = try await database.withTransaction { tx in try await store.now(in: tx) }
        return now - .nanoseconds(Int64(now.nanoseconds % 1000))
    }

    /// Adds sagas that are due at once, or when only a message makes them so.
    func add(
        _ ids: [SagaID], name: String = "check", isDue: Bool = true, waiting waits: [SagaWaitKey] = [],
        lease: Duration? = nil
    ) async throws {
        let now = try await now()
        try await database.withTransaction { tx in
            for id in ids {
                let change = SagaChange(
                    row: row(id, name: name, at: now), lease: lease, due: isDue ? now : nil, opened: waits)
                let inserted = try await store.insert(change, in: tx)
                try probe.require(inserted, is: .inserted(records: 0), "What came of adding the saga '\(id)'")
            }
        }
    }

    func load(_ id: SagaID) async throws -> SagaRow {
        let row = try await database.withReadTransaction { tx in try await store.load(id, in: tx) }
        guard let row else { throw probe.failure("The saga '\(id)' is not there.") }
        return row
    }

    func messages(for id: SagaID) async throws -> SagaMessages {
        try await database.withReadTransaction { tx in try await store.messages(for: id, in: tx) }
    }

    func history(of id: SagaID, after number: Int64 = 0, limit: Int = 1000) async throws -> [SagaRecord] {
        try await database.withReadTransaction { tx in
            try await store.history(of: id, after: number, limit: limit, in: tx)
        }
    }

    @discardableResult
    func send(_ message: SagaMessage, retention: Duration? = nil) async throws -> [SagaID] {
        try await database.withTransaction { tx in
            try await store.send(message, retention: retention ?? longLease, in: tx)
        }
    }

    func message(_ name: String, _ wait: SagaWaitKey, to target: SagaID? = nil, kind: String = "check") -> SagaMessage {
        SagaMessage(
            name: kind, target: target, wait: wait, id: MessageID(name), payload: Bytes(name.utf8))
    }

    func claim(
        _ names: [String] = ["check"], limit: Int = 100, lease: Duration? = nil
    ) async throws -> SagaClaim {
        let claim = try await store.claim(names, limit: limit, lease: lease ?? longLease)
        try probe.require(claim.rows.count <= limit, "A claim of at most \(limit) sagas has \(claim.rows.count).")
        return claim
    }

    /// Claims what is due, which must be these sagas.
    @discardableResult
    func claim(exactly ids: [SagaID], lease: Duration? = nil, _ what: String) async throws -> [SagaRow] {
        let rows = try await claim(lease: lease).rows
        try probe.require(rows.map(\.id).sorted(), is: ids.sorted(), what)
        return rows
    }

    func save(_ change: SagaChange) async throws -> SagaSaved {
        try await database.withTransaction { tx in try await store.save(change, in: tx) }
    }

    /// Saves what must be written.
    @discardableResult
    func saved(_ change: SagaChange, _ what: String) async throws -> Int64 {
        guard case .saved(let signals) = try await save(change) else {
            throw probe.failure("\(what) was not saved.")
        }
        return signals
    }

    // MARK: Beginning

    func insertedIsReadAsItWas() async throws {
        let now = try await now()
        var row = row("id /'\"\u{1F600}", name: "n\u{E4}me", at: now)
        (row.version, row.status, row.step) = (7, .compensating, "st\u{E9}p")
        (row.businessKey, row.reason, row.fingerprint) = ("key 'x'", "because;", "print")
        row.state = Bytes(#"{"a":"\#u{1F600}"}"#.utf8)
        row.progress = Bytes(repeating: UInt8(ascii: "x"), count: 100_000)
        row.started = now - .seconds(5)
        row.records = 1
        try await database.withTransaction { [row] tx in
            let change = SagaChange(row: row, due: now, records: [record(1, of: row.id, at: now)])
            let inserted = try await store.insert(change, in: tx)
            try probe.require(inserted, is: .inserted(records: 1), "What came of adding a saga")
            let own = try await store.load(row.id, in: tx)
            try probe.require(own?.state == row.state, "A transaction does not see the saga it added.")
        }
        try probe.require(try await load(row.id), is: row, "The saga as it is read")
        let other = try await database.withReadTransaction { tx in try await store.load("other", in: tx) }
        try probe.require(other == nil, "A saga was read that is not there.")
    }

    func rolledBackLeavesNothing() async throws {
        let wait = SagaWaitKey(type: "check.message", key: "k")
        try await add(["kept"], isDue: true)
        let claimed = try await claim(exactly: ["kept"], "What is due")
        let now = try await now()
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                let new = SagaChange(
                    row: row("new", at: now), due: now, records: [record(1, of: "new", at: now)], opened: [wait])
                _ = try await store.insert(new, in: tx)
                var row = claimed[0]
                (row.status, row.records) = (.parked, 1)
                _ = try await store.save(SagaChange(row: row, records: [record(1, of: "kept", at: now)]), in: tx)
                _ = try await store.send(message("m", wait), retention: longLease, in: tx)
                throw RollBack()
            }
        }
        let new = try await database.withReadTransaction { tx in try await store.load("new", in: tx) }
        try probe.require(new == nil, "A saga is there whose transaction rolled back.")
        try probe.require(try await load("kept").status, is: .running, "The status of a saga whose save rolled back")
        try probe.require(try await history(of: "kept").isEmpty, "A record is there whose transaction rolled back.")
        try await add(["late"], isDue: false, waiting: [wait])
        try probe.require(
            try await messages(for: "late").messages.isEmpty, "A message was kept whose transaction rolled back.")
    }

    func insertedOnce() async throws {
        let now = try await now()
        let made = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 1...5 {
                group.addTask {
                    try await database.withTransaction { tx in
                        var row = row("1", at: now)
                        row.fingerprint = "\(number)"
                        return try await store.insert(SagaChange(row: row, due: now), in: tx) == .inserted(records: 0)
                    }
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        try probe.require(made.count { $0 }, is: 1, "How many of five sagas of one identifier were added")
        let first = try await load("1")
        let existing = try await database.withTransaction { tx in
            try await store.insert(SagaChange(row: row("1", at: now), due: now), in: tx)
        }
        try probe.require(existing, is: .existing(first), "What is returned in place of a second saga")
        try probe.require(try await load("1"), is: first, "The saga after another of its identifier was added")
    }

    func insertedWithAClaimIsHeld() async throws {
        try await add(["1"], lease: probe.patience.span)
        let row = try await load("1")
        try probe.require(row.epoch, is: FencingToken(number: 1), "The epoch of a saga that was added with a claim")
        try probe.require(row.claims, is: 1, "How often a saga was claimed that was added with a claim")
        try await claim(exactly: [], "What is due while another holds it")
        try await probe.waitForSpan()
        let rows = try await claim(exactly: ["1"], "What is due when the claim has run out")
        try probe.require(rows[0].epoch, is: FencingToken(number: 2), "The epoch of the next claim")
    }

    // MARK: Claiming

    func dueIsClaimed() async throws {
        try await add(["a", "b", "c", "d", "e"])
        try await add(["other"], name: "other")
        var seen: [SagaID] = []
        for _ in 0..<3 {
            let rows = try await claim(limit: 2).rows
            for row in rows {
                try probe.require(row.epoch, is: FencingToken(number: 1), "The epoch of a first claim")
                try probe.require(row.claims, is: 1, "How often a saga was claimed at its first claim")
            }
            seen += rows.map(\.id)
        }
        try probe.require(seen.sorted(), is: ["a", "b", "c", "d", "e"], "What claims got together")
        try await claim(exactly: [], "What is left")
        let other = try await claim(["nothing", "other"]).rows
        try probe.require(other.map(\.id), is: ["other"], "What a claim of another kind got")
    }

    func laterIsNotClaimed() async throws {
        let now = try await now()
        try await database.withTransaction { tx in
            let change = SagaChange(row: row("1", at: now), due: now + probe.patience.span)
            _ = try await store.insert(change, in: tx)
        }
        let early = try await claim()
        try probe.require(early.rows.isEmpty, "A saga was claimed before it was due.")
        guard let next = early.nextDue, next <= probe.patience.span else {
            throw probe.failure("A saga is due in \(probe.patience.span), but the store says \(early.nextDue as Any).")
        }
        try await probe.waitForSpan()
        try await claim(exactly: ["1"], "What is due when its time has come")
    }

    func waitingIsNotClaimed() async throws {
        try await add(["1"], isDue: false, waiting: [SagaWaitKey(type: "check.message", key: "k")])
        let claim = try await claim()
        try probe.require(claim.rows.isEmpty, "A saga was claimed that waits for a message.")
        try probe.require(claim.nextDue == nil, "A saga that waits for a message is told to be due.")
    }

    func concurrentClaimsAreDisjoint() async throws {
        let ids = (1...40).map { SagaID("\($0)") }
        try await add(ids)
        let claimed = Shared<[SagaID]>([])
        try await probe.together(
            "Claims at the same time",
            (1...8).map { _ in
                {
                    while true {
                        let rows = try await claim(limit: 3).rows
                        if rows.isEmpty { return }
                        claimed.withLock { $0 += rows.map(\.id) }
                    }
                }
            })
        try probe.require(claimed.withLock { $0.sorted() }, is: ids.sorted(), "What claims at the same time got")
    }

    func expiredIsClaimedAgain() async throws {
        try await add(["1"])
        let first = try await claim(exactly: ["1"], lease: probe.patience.span, "What is due")
        try await claim(exactly: [], "What is due while another holds it")
        try await probe.waitForSpan()
        let second = try await claim(exactly: ["1"], "What is due when the lease has run out")
        try probe.require(second[0].epoch > first[0].epoch, "The epoch of the second claim is not higher.")
        try probe.require(second[0].claims, is: 2, "How often it was claimed since the last save")
    }

    func renewedIsKept() async throws {
        try await add(["kept", "lost"])
        let rows = try await claim(exactly: ["kept", "lost"], lease: probe.patience.span, "What is due")
        let claims = Dictionary(uniqueKeysWithValues: rows.map { ($0.id, $0.epoch) })
        let none = try await store.renew(claims.filter { $0.key == "kept" }, lease: longLease)
        try probe.require(none, is: [], "What was lost of a claim that holds")
        try await probe.waitForSpan()
        try await claim(exactly: ["lost"], "What is due when a lease was not renewed")
        let lost = try await store.renew(claims, lease: longLease)
        try probe.require(lost, is: ["lost"], "What was lost")
    }
}
