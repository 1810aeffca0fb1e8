// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore

/// The checks of a waiting room: what they share, and those about coming in and following.
struct WaitingRoomProbe<DB: WaitingRoomDatabase>: Sendable {
    let probe: CheckProbe
    let database: DB
    let consumer: String

    init(_ probe: CheckProbe, on database: DB) {
        self.probe = probe
        self.database = database
        consumer = probe.name("consumer")
    }

    var store: DB.WaitingRooms { database.waitingRoomStore }

    /// Long enough that it does not end within a check.
    var long: Duration { .seconds(3600) }

    // MARK: Messages

    /// A message whose name is also its identifier and its position; the first character is its key.
    func entry(
        _ name: String, key: PartitionKey?? = nil, topic: Topic = "check.waiting", consumer: String? = nil,
        attempts: Int = 0
    ) -> WaitingEntry {
        var attributes = EnvelopeAttributes(
            id: MessageID(name), source: "/dovetail/check", type: "dovetail.check", topic: topic)
        attributes.partitionKey = key ?? PartitionKey(String(name.prefix(1)))
        return WaitingEntry(
            consumer: consumer ?? self.consumer, envelope: Envelope(attributes, payload: Bytes(name.utf8)),
            topic: topic, position: name, attempts: attempts)
    }

    func lane(_ key: PartitionKey) -> WaitingLane {
        WaitingLane(topic: "check.waiting", key: key)
    }

    func admit(_ entries: [WaitingEntry], after delay: Duration = .zero) async throws {
        try await database.withTransaction { tx in try await store.admit(entries, after: delay, in: tx) }
    }

    func admit(_ names: String..., after delay: Duration = .zero) async throws {
        try await admit(names.map { entry($0) }, after: delay)
    }

    /// Has messages follow and says which did.
    func follow(_ names: String...) async throws -> [String] {
        let entries = names.map { entry($0) }
        let admitted = try await database.withTransaction { tx in
            try await store.admitFollowers(entries, in: tx)
        }
        return entries.filter { admitted.contains($0.id) }.map(\.position)
    }

    func block(_ key: PartitionKey, followers: [String] = []) async throws {
        try await database.withTransaction { tx in
            try await store.block(lane(key), for: consumer, followers: followers.map { entry($0) }, in: tx)
        }
    }

    func release(_ key: PartitionKey, restoring restored: [String] = []) async throws {
        try await database.withTransaction { tx in
            try await store.release(lane(key), for: consumer, restoring: restored.map { entry($0) }, in: tx)
        }
    }

    // MARK: Claims

    func claim(
        _ limit: Int = 100, entriesPerLane: Int = 100, lease: Duration? = nil, for consumer: String? = nil
    ) async throws -> [ClaimedLane] {
        let claimed = try await store.claimDue(
            for: consumer ?? self.consumer, limit: limit, entriesPerLane: entriesPerLane, lease: lease ?? long)
        try probe.require(claimed.count <= limit, "A claim of at most \(limit) lanes has \(claimed.count).")
        for claim in claimed {
            try probe.require(!claim.entries.isEmpty, "The claimed lane '\(claim.lane)' has no message.")
            try probe.require(
                claim.entries.count <= entriesPerLane,
                "A claim of at most \(entriesPerLane) messages of a lane has \(claim.entries.count).")
            try probe.require(
                claim.entries.allSatisfy { $0.lane == claim.lane }, "A claimed lane has a message of another one.")
        }
        return claimed
    }

    /// Claims all that is due, which must be these lanes with these messages in their order.
    @discardableResult
    func claim(exactly lanes: [[String]], lease: Duration? = nil, _ what: String) async throws -> [ClaimedLane] {
        let claimed = try await claim(lease: lease)
        let found = claimed.map { $0.entries.map(\.position) }
        try probe.require(found.sorted { $0[0] < $1[0] }, is: lanes, what)
        return claimed
    }

    /// Claims the one lane that is due.
    func claimOne(_ names: [String], lease: Duration? = nil, _ what: String) async throws -> ClaimedLane {
        let claimed = try await claim(exactly: [names], lease: lease, what)
        guard let claim = claimed.first else { throw probe.failure("\(what): nothing was claimed.") }
        return claim
    }

    func requireNothingDue(_ what: String) async throws {
        try await claim(exactly: [], what)
    }

    func require(_ keys: [PartitionKey], areOccupied: Bool, _ what: String) async throws {
        let lanes = Set(keys.map(lane))
        let occupied = try await store.occupied(lanes, for: consumer)
        try probe.require(occupied, is: areOccupied ? lanes : [], what)
    }

    /// Completes messages of a claim.
    func complete(_ entries: some Sequence<WaitingEntry>, of claim: ClaimedLane) async throws {
        for entry in entries { try await store.complete(entry, token: claim.token, blockingLane: false) }
    }

    // MARK: Coming in

    func admittedIsClaimedAsItWas() async throws {
        var attributes = EnvelopeAttributes(
            id: "m \u{1F600}", source: "/dovetail/check", type: "dovetail.check", topic: "another.topic")
        attributes.partitionKey = "k\u{E9}y"
        attributes.version = MessageVersion(major: 2, minor: 1)
        attributes.subject = "s\u{FC}bject"
        attributes.time = Timestamp(secondsSinceEpoch: 1_700_000_000, nanoseconds: 123_456_789)
        attributes.expiry = Timestamp(secondsSinceEpoch: 4_000_000_000)
        attributes.tenant = "tenant"
        attributes.correlationID = "correlation"
        attributes.causationID = "cause"
        // The last two digits are the flags: not sampled.
        attributes.trace = TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").map {
            TraceContext(traceParent: $0, traceState: TraceState("vendor=value"))
        }
        attributes.contentType = "application/json"
        attributes.headers = ["Header-1": "v\u{E4}lue", "header-2": ""]
        attributes.extensions["foreign"] = .string("kept")
        let admitted = WaitingEntry(
            consumer: consumer, envelope: Envelope(attributes, payload: Bytes((0...255).map { UInt8($0) })),
            topic: "check.waiting", position: "3@1042", attempts: 7,
            failure: FailureDetail(type: "Oops", message: "it br\u{F6}ke"))
        try await admit([admitted])
        guard let found = try await claim().first?.entries.first else {
            throw probe.failure("What was admitted is not claimed.")
        }
        try probe.require(found.id, is: admitted.id, "The identifier")
        try probe.require(found.consumer, is: admitted.consumer, "The consumer")
        try probe.require(found.envelope.attributes, is: attributes, "The attributes")
        try probe.require(found.envelope.payload == admitted.envelope.payload, "The payload has changed.")
        try probe.require(found.topic, is: "check.waiting", "The topic it was read from")
        try probe.require(found.position, is: "3@1042", "The position")
        try probe.require(found.attempts, is: 7, "The attempts")
        try probe.require(found.failure == admitted.failure, "The failure has changed.")
    }

    func rolledBackIsNotAdmitted() async throws {
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                try await store.admit([entry("a1")], after: .zero, in: tx)
                try await store.block(lane("b"), for: consumer, followers: [entry("b1")], in: tx)
                let followers = try await store.admitFollowers([entry("a2"), entry("b2")], in: tx)
                try probe.require(followers.count, is: 2, "Followers of lanes that the same transaction occupied")
                throw RollBack()
            }
        }
        try await require(["a", "b"], areOccupied: false, "The lanes after a roll-back that are occupied")
        try await requireNothingDue("What was rolled back is never due")
        try await admit("a3")
        try await claim(exactly: [["a3"]], "What was admitted after a roll-back")
    }

    func uncommittedIsUnseen() async throws {
        try await database.withTransaction { tx in
            try await store.admit([entry("a1")], after: .zero, in: tx)
            // What is read here is the last commit, or waits for this one; only the former ends.
            let seen = Shared(true)
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    let claimed = try? await claim()
                    seen.withLock { $0 = claimed?.isEmpty == false }
                }
                group.addTask { try? await probe.pause() }
                await group.next()
                group.cancelAll()
            }
            // A claim that waits for the transaction has seen nothing either.
            if seen.withLock({ $0 }), try await !store.occupied([lane("a")], for: consumer).isEmpty {
                throw probe.failure("A message was seen before the transaction that admits it had committed.")
            }
        }
        try await require(["a"], areOccupied: true, "The lanes that are occupied after the commit")
    }

    func admittedOnce() async throws {
        try await admit("a1", "a1", "a2")
        try await admit("a2", "a1")
        try probe.require(try await follow("a1", "a2"), is: ["a1", "a2"], "Those that are in their lane already")
        let claim = try await claimOne(["a1", "a2"], "Messages that were admitted several times")
        try await complete(claim.entries, of: claim)
        try await requireNothingDue("What was completed does not come again")
    }

    func laneIsInOrder() async throws {
        for number in 1...9 { try await admit("a\(number)", "b\(number)") }
        try await database.withTransaction { tx in
            try await store.admit([entry("az")], after: .zero, in: tx)
            try await store.admit([entry("ay"), entry("ax")], after: .zero, in: tx)
        }
        var seen: [String] = []
        while let claim = try await claim(1, entriesPerLane: 2).first {
            seen += claim.entries.map(\.position)
            try await complete(claim.entries, of: claim)
            try await store.handBack(claim.lane, for: consumer, token: claim.token)
            try probe.require(seen.count <= 21, "More messages came out than went in: \(seen).")
        }
        try probe.require(
            seen.filter { $0.hasPrefix("a") }, is: (1...9).map { "a\($0)" } + ["az", "ay", "ax"], "The lane of 'a'")
        try probe.require(seen.filter { $0.hasPrefix("b") }, is: (1...9).map { "b\($0)" }, "The lane of 'b'")
    }

    func delayIsKept() async throws {
        try await admit("a1", after: probe.patience.span)
        try await admit("b1")
        // A message behind another one does not hasten it.
        try await admit("a2")
        try await claim(exactly: [["b1"]], "Before the delay has passed")
        try await probe.waitForSpan()
        try await claim(exactly: [["a1", "a2"]], "After the delay has passed")
    }

    func unorderedWaitsAlone() async throws {
        let unordered = ["x", "y", "z"].map { entry($0, key: .some(nil)) }
        try await admit([unordered[0]], after: long)
        try await admit([unordered[1], unordered[2]])
        let followers = try await database.withTransaction { tx in
            try await store.admitFollowers([entry("w", key: .some(nil))], in: tx)
        }
        try probe.require(followers.isEmpty, "A message without a key followed another one.")
        try await claim(exactly: [["y"], ["z"]], "Messages without a key, one of which is not due")
    }

    func lanesAreSeparate() async throws {
        let other = consumer + "/2"
        // Names that run into each other if a store merely joins them.
        let entries = [
            entry("1", key: "a", topic: "t"), entry("2", key: "a", topic: "t:a"), entry("3", key: "a:a", topic: "t"),
            entry("4", key: "A", topic: "t"), entry("5", key: "a", topic: "t", consumer: other),
        ]
        try await admit(entries)
        try await claim(exactly: [["1"], ["2"], ["3"], ["4"]], "The lanes of one consumer")
        let others = try await claim(for: other)
        try probe.require(others.map { $0.entries.map(\.position) }, is: [["5"]], "The lanes of the other consumer")
        guard let claim = others.first else { return }
        try await complete(claim.entries, of: claim)
        let occupied = try await store.occupied(Set(entries.map(\.lane)), for: consumer)
        try probe.require(occupied.count, is: 4, "How many lanes are occupied once another consumer is done")
    }

    // MARK: Following

    func followersNeedAnOccupiedLane() async throws {
        try await admit("a1", after: long)
        try probe.require(try await follow("b1", "a2", "c1", "a3"), is: ["a2", "a3"], "Those that followed")
        try await require(["b", "c"], areOccupied: false, "Lanes that nobody was admitted to")
        let inOneTransaction = try await database.withTransaction { tx in
            try await store.admit([entry("d1")], after: long, in: tx)
            return try await store.admitFollowers([entry("d2"), entry("e1")], in: tx)
        }
        try probe.require(
            inOneTransaction, is: [entry("d2").id], "Followers of a lane that the same transaction occupied")
        let waiting = try await store.statistics(for: consumer).waiting
        try probe.require(waiting, is: 5, "How many messages wait")
    }

    func followersDoNotOvertake() async throws {
        try await admit("a1", after: probe.patience.span)
        _ = try await follow("a2", "a3")
        try await requireNothingDue("Followers are not due before the first of their lane")
        try await probe.waitForSpan()
        let claim = try await claimOne(["a1", "a2", "a3"], "The lane once the first is due")
        _ = try await follow("a4")
        try await complete(claim.entries.prefix(1), of: claim)
        guard let second = claim.entries.dropFirst().first else { return }
        try await store.reschedule(second.tried(attempts: 1, failure: oops), after: long, token: claim.token)
        _ = try await follow("a5")
        try await requireNothingDue("Followers are not due while one before them waits")
    }

    var oops: FailureDetail { FailureDetail(type: "Oops", message: "it broke") }

    /// One transaction occupies a lane and stays open for a while; meanwhile another one asks whether to follow.
    func followersWaitForWhoOccupies() async throws {
        for rollsBack in [false, true] {
            let key = rollsBack ? "b" : "a"
            let (admitted, asked) = (CheckGate(), CheckGate())
            let followers = Shared<[String]?>(nil)
            try await probe.together(
                "A transaction that occupies a lane and one that follows",
                [
                    {
                        do {
                            try await database.withTransaction { tx in
                                try await store.admit([entry("\(key)1")], after: .zero, in: tx)
                                admitted.open()
                                try await asked.wait(atMost: probe.patience.span)
                                if rollsBack { throw RollBack() }
                            }
                        } catch is RollBack {
                        }
                    },
                    {
                        try await admitted.wait()
                        let found = try await follow("\(key)2")
                        followers.withLock { $0 = found }
                        asked.open()
                    },
                ])
            try probe.require(
                followers.withLock { $0 }, is: rollsBack ? [] : ["\(key)2"],
                "Those that followed a transaction that \(rollsBack ? "rolled back" : "committed")")
        }
    }

    func laneIsFreeAfterItsLast() async throws {
        try await admit("a1", "a2")
        let claim = try await claimOne(["a1", "a2"], "The lane")
        try await complete(claim.entries.prefix(1), of: claim)
        try await require(["a"], areOccupied: true, "The lanes that are occupied while one message is left")
        try probe.require(try await follow("a3"), is: ["a3"], "Those that followed while one message is left")
        try await complete(claim.entries.dropFirst(), of: claim)
        try await require(["a"], areOccupied: true, "The lanes that are occupied while a follower is left")
        try await store.handBack(claim.lane, for: consumer, token: claim.token)
        let last = try await claimOne(["a3"], "The follower")
        try await complete(last.entries, of: last)
        try await require(["a"], areOccupied: false, "The lanes that are occupied after the last message")
        try probe.require(try await follow("a4"), is: [], "Those that followed after the last message")
        // Giving back what is not there any more is no fault.
        try await store.handBack(last.lane, for: consumer, token: last.token)
    }
}
