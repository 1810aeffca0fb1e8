// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

/// The checks of an outbox store: what they share, and those about appending.
struct OutboxStoreProbe<DB: OutboxDatabase>: Sendable {
    let probe: CheckProbe
    let database: DB

    init(_ probe: CheckProbe, on database: DB) {
        self.probe = probe
        self.database = database
    }

    var store: DB.Outgoing { database.outboxStore }

    /// Long enough that it does not end within a check.
    var longLease: Duration { .seconds(3600) }

    // MARK: Messages

    /// A message whose name is also its identifier.
    func message(
        _ name: String, key: PartitionKey? = nil, topic: Topic = "check.outbox", notBefore: Timestamp? = nil
    ) -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(
            id: MessageID(name), source: "/dovetail/check", type: "dovetail.check", topic: topic
        )
        attributes.partitionKey = key
        attributes.notBefore = notBefore
        return Envelope(attributes, payload: Bytes(name.utf8))
    }

    func append(_ messages: [Envelope<Bytes>], serializing: Bool = false) async throws {
        try await database.withTransaction { tx in
            try await store.append(messages, serializing: serializing, in: tx)
        }
    }

    /// Appends messages named like their key and a number, each in a transaction of its own.
    func append(_ numbers: ClosedRange<Int>, to key: PartitionKey) async throws {
        for number in numbers { try await append([message("\(key)\(number)", key: key)]) }
    }

    // MARK: Claims

    func claim(_ limit: Int = 1000, lease: Duration? = nil) async throws -> OutboxClaim {
        let claim = try await store.claim(limit: limit, lease: lease ?? longLease)
        try probe.require(claim.rows.count <= limit, "A claim of at most \(limit) rows has \(claim.rows.count).")
        let ids = Set(claim.rows.map(\.id))
        try probe.require(ids.count, is: claim.rows.count, "How many different identifiers the rows of a claim have")
        return claim
    }

    /// Claims all that is due, which must be these messages, those of a key in this order.
    @discardableResult
    func claim(exactly names: [String], lease: Duration? = nil, _ what: String) async throws -> OutboxClaim {
        let claim = try await claim(lease: lease)
        try require(claim, has: names, what)
        return claim
    }

    func require(_ claim: OutboxClaim, has names: [String], _ what: String) throws {
        let found = claim.names
        try probe.require(found.sorted(), is: names.sorted(), "\(what), in no particular order")
        for key in Set(claim.rows.map(\.envelope.attributes.partitionKey)) {
            guard let key else { continue }
            let ofKey = claim.rows.filter { $0.envelope.attributes.partitionKey == key }
            let expected = names.filter { name in ofKey.contains { $0.name == name } }
            try probe.require(ofKey.map(\.name), is: expected, "\(what), those of the key '\(key)' in their order")
        }
    }

    func requireNothingDue(_ what: String) async throws {
        let claim = try await claim()
        try probe.require(
            claim.rows.isEmpty, "\(what), but these were claimed: \(claim.names.joined(separator: ", ")).")
    }

    func complete(_ claim: OutboxClaim) async throws {
        try await store.complete(claim.rows.map(\.id), token: claim.token)
    }

    func id(_ name: String, in claim: OutboxClaim) throws -> OutboxRow.ID {
        guard let row = claim.rows.first(where: { $0.name == name }) else {
            throw probe.failure("The row '\(name)' was not claimed, but \(claim.names).")
        }
        return row.id
    }

    // MARK: Appending

    func appendedIsClaimedAsItWas() async throws {
        var full = message("full \u{1F600}", key: "k\u{E9}y")
        full.attributes.version = MessageVersion(major: 2, minor: 1)
        full.attributes.subject = "s\u{FC}bject"
        full.attributes.time = Timestamp(secondsSinceEpoch: 1_700_000_000, nanoseconds: 123_456_789)
        full.attributes.expiry = Timestamp(secondsSinceEpoch: 4_000_000_000)
        full.attributes.tenant = "tenant"
        full.attributes.correlationID = "correlation"
        full.attributes.causationID = "cause"
        // The last two digits are the flags: not sampled.
        full.attributes.trace = TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").map {
            TraceContext(traceParent: $0, traceState: TraceState("vendor=value"))
        }
        full.attributes.baggage = Baggage("user=alice")
        full.attributes.contentType = "application/json"
        full.attributes.headers = ["Header-1": "v\u{E4}lue", "header-2": ""]
        full.attributes.extensions["foreign"] = .string("kept")
        full.payload = Bytes((0...255).map { UInt8($0) })
        var empty = message("empty")
        empty.payload = []
        var large = message("large")
        large.payload = Bytes(repeating: 7, count: 300_000)
        let appended = [full, empty, large]
        try probe.require(full.attributes.trace != nil, "The check's own trace context is not valid.")
        try await append(appended)
        let claim = try await claim(exactly: appended.map(\.attributes.id.rawValue), "What was appended")
        for envelope in appended {
            guard let row = claim.rows.first(where: { $0.envelope.attributes.id == envelope.attributes.id }) else {
                continue
            }
            try probe.require(row.envelope.attributes, is: envelope.attributes, "The attributes of '\(row.name)'")
            try probe.require(row.envelope.payload == envelope.payload, "The payload of '\(row.name)' has changed.")
            try probe.require(row.attempts, is: 0, "The attempts of a row that nobody tried to publish")
        }
    }

    func rolledBackIsNeverClaimed() async throws {
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                try await store.append([message("a1", key: "a"), message("x")], serializing: false, in: tx)
                try await store.append([message("a2", key: "a")], serializing: true, in: tx)
                throw RollBack()
            }
        }
        try await requireNothingDue("What was rolled back is never due")
        try await append([message("a3", key: "a")])
        try await claim(exactly: ["a3"], "What was appended after a roll-back")
    }

    func uncommittedIsNotClaimed() async throws {
        let (appended, looked) = (CheckGate(), CheckGate())
        let isOver = Shared(false)
        try await probe.together(
            "Claiming beside a writer",
            [
                {
                    try await database.withTransaction { tx in
                        try await store.append([message("a1", key: "a"), message("x")], serializing: false, in: tx)
                        appended.open()
                        // Where a claim waits for who writes, it looks only afterwards.
                        try await looked.wait(atMost: probe.patience.span)
                        isOver.withLock { $0 = true }
                    }
                },
                {
                    try await appended.wait()
                    defer { looked.open() }
                    let claim = try await claim()
                    try probe.require(
                        claim.rows.isEmpty || isOver.withLock { $0 },
                        "Rows were claimed before their transaction had committed."
                    )
                    try await store.release(claim.rows.map(\.id), token: claim.token)
                },
            ]
        )
        try await claim(exactly: ["a1", "x"], "What was committed")
    }

    func slowTransactionIsNotSkipped() async throws {
        let (appended, overtaken) = (CheckGate(), CheckGate())
        let early = Shared<[String]>([])
        try await probe.together(
            "A transaction that overtakes another",
            [
                {
                    try await database.withTransaction { tx in
                        try await store.append(
                            [message("slow", key: "s"), message("slow too")], serializing: false, in: tx)
                        appended.open()
                        // Where writers run one by one the other can only follow.
                        try await overtaken.wait(atMost: probe.patience.span)
                    }
                },
                {
                    try await appended.wait()
                    defer { overtaken.open() }
                    try await append([message("fast", key: "f"), message("fast too")])
                    let claim = try await claim()
                    try await complete(claim)
                    early.withLock { $0 = claim.names }
                },
            ]
        )
        let late = try await claim()
        try probe.require(
            (early.withLock { $0 } + late.names).sorted(), is: ["fast", "fast too", "slow", "slow too"],
            "What was claimed before and after the slow transaction committed"
        )
    }

    func sameMessageMayBeAppendedAgain() async throws {
        try await append([])
        try await append([message("x"), message("x")])
        try await append([message("x")])
        try await claim(exactly: ["x", "x", "x"], "A message that was appended three times")
    }

    func serializedAppendsKeepTheirOrder() async throws {
        let (appended, followed) = (CheckGate(), CheckGate())
        try await probe.together(
            "Two writers of one key",
            [
                {
                    try await database.withTransaction { tx in
                        try await store.append([message("a1", key: "a")], serializing: true, in: tx)
                        appended.open()
                        try await followed.wait(atMost: probe.patience.span)
                    }
                },
                {
                    try await appended.wait()
                    defer { followed.open() }
                    try await append([message("b1", key: "b"), message("a2", key: "a")], serializing: true)
                },
            ]
        )
        try await claim(exactly: ["a1", "b1", "a2"], "What two writers appended, the first to append first")
    }
}

extension OutboxRow {
    /// What the check called the message.
    var name: String { envelope.attributes.id.rawValue }
}

extension OutboxClaim {
    var names: [String] { rows.map(\.name) }
}
