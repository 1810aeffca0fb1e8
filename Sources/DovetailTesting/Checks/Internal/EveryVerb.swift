// SPDX-License-Identifier: Apache-2.0

package import DovetailConsumer
package import DovetailCore
package import DovetailIdempotency
package import DovetailOutbox
package import DovetailSaga

/// Every verb of every store, for tests that look at the statements these lead to.
package enum EveryVerb {
    /// Runs every verb of every store, so that every statement is seen.
    package static func run<DB>(on database: DB) async throws
    where
        DB: TableDatabase & OutboxDatabase & IdempotencyDatabase & WaitingRoomDatabase & DeadLetterDatabase
            & SagaDatabase
    {
        let rows = database.table("rows", of: Int.self)
        let (outbox, keys, rooms) = (database.outboxStore, database.idempotencyStore, database.waitingRoomStore)
        try await database.withTransaction { tx in
            try await rows.put(1, at: "a", in: tx)
            try await rows.put(2, at: "a", expecting: 1, in: tx)
            _ = try? await rows.put(2, at: "a", expecting: 0, in: tx)
            _ = try await rows.scan(prefix: "a", after: "a", in: tx)
            try await rows.delete("a", in: tx)
            var later = message("later", key: "a")
            later.attributes.notBefore = .latest
            try await outbox.append(
                (1...20).map { message("\($0)", key: $0.isMultiple(of: 2) ? "a" : nil) } + [later],
                serializing: true, in: tx)
            _ = try await keys.record(["a", "b"], in: "s", retention: .seconds(1), in: tx)
        }
        for _ in 0..<2 {
            let claim = try await outbox.claim(limit: 6, lease: .seconds(1))
            try await outbox.renew(claim.token, lease: .seconds(1))
            let ids = claim.rows.map(\.id)
            try await outbox.fail(
                ids.prefix(2).map { OutboxFailure(id: $0, retryAfter: .zero, reason: "") }, token: claim.token)
            try await outbox.park(Array(ids.dropFirst(2).prefix(1)), token: claim.token)
            try await outbox.complete(Array(ids.dropFirst(3).prefix(1)), token: claim.token)
            try await outbox.release(Array(ids.dropFirst(4).prefix(1)), token: claim.token)
        }
        _ = try await outbox.sweep(olderThan: .zero, limit: 10)
        _ = try await outbox.statistics()
        guard
            case .reserved(let token) = try await keys.reserve(
                "r", in: "s", fingerprint: "", lease: .seconds(1), retention: .seconds(1))
        else { return }
        try await keys.renew("r", in: "s", token: token, lease: .seconds(1))
        try await database.withTransaction { tx in
            try await keys.complete("r", in: "s", token: token, answer: [], retention: .zero, in: tx)
        }
        guard
            case .reserved(let other) = try await keys.reserve(
                "r", in: "s", fingerprint: "", lease: .seconds(1), retention: .seconds(1))
        else { return }
        try await keys.release("r", in: "s", token: other)
        _ = try await keys.sweep(limit: 10)
        try await run(on: rooms, in: database)
        try await run(on: database.sagaStore, in: database)
        try await runOnDeadLetters(of: database)
    }

    private static func run<DB: WaitingRoomDatabase>(on rooms: DB.WaitingRooms, in database: DB) async throws {
        let entries = (1...3).map {
            WaitingEntry(consumer: "c", envelope: message("\($0)", key: "a"), topic: "t", position: "\($0)")
        }
        let lane = entries[0].lane
        try await database.withTransaction { tx in
            try await rooms.admit([entries[0]], after: .zero, in: tx)
            _ = try await rooms.admitFollowers([entries[1]], in: tx)
            try await rooms.block(lane, for: "c", followers: [], in: tx)
            try await rooms.release(lane, for: "c", restoring: [entries[2]], in: tx)
        }
        // Nobody ends it.
        _ = try await rooms.claimDue(for: "c", limit: 1, entriesPerLane: 1, lease: .zero)
        for _ in 0..<2 {
            guard
                let claim = try await rooms.claimDue(
                    for: "c", limit: 1, entriesPerLane: 1, lease: .seconds(1)
                ).first, let entry = claim.entries.first
            else { return }
            try await rooms.renew(lane, for: "c", token: claim.token, lease: .seconds(1))
            try await rooms.complete(entry, token: claim.token, blockingLane: false)
            try await rooms.handBack(lane, for: "c", token: claim.token)
        }
        guard let claim = try await rooms.claimDue(for: "c", limit: 1, entriesPerLane: 1, lease: .seconds(1)).first,
            let entry = claim.entries.first
        else { return }
        try await rooms.reschedule(entry, after: .zero, token: claim.token)
        _ = try await rooms.occupied([lane], for: "c")
        _ = try await rooms.timeUntilDue(for: "c")
        _ = try await rooms.statistics(for: "c")
    }

    private static func runOnDeadLetters(of database: some DeadLetterDatabase) async throws {
        let letters = DeadLetterQueue(in: database)
        let store = database.deadLetterStore
        let kept = (1...20).map { number in
            DeadLetter(
                id: "\(number)", content: .envelope(message("\(number)", key: nil)), topic: "t", position: "",
                consumer: "c", attempts: 1, reason: .poison, failure: FailureDetail(type: "E", message: "m"),
                time: .epoch)
        }
        try await letters.capture(kept)
        _ = try await letters.count()
        _ = try await letters.list(after: "x", limit: 1)
        let filters = [
            DeadLetterFilter(queue: "q"), DeadLetterFilter(tier: "t"), DeadLetterFilter(reason: .poison),
            DeadLetterFilter(fingerprint: "f"), DeadLetterFilter(type: "t"), DeadLetterFilter(consumer: "c"),
            DeadLetterFilter(tenant: "t"), DeadLetterFilter(topic: "t"), DeadLetterFilter(since: .epoch),
            DeadLetterFilter(before: .epoch), DeadLetterFilter(text: "t"), DeadLetterFilter(letters: ["1", "2"]),
            DeadLetterFilter(messages: ["1", "2"]), DeadLetterFilter(queue: "q", tier: "t", since: .epoch),
            DeadLetterFilter(
                queue: "q", tier: "t", reason: .poison, fingerprint: "f", type: "t", consumer: "c", tenant: "t",
                topic: "t", since: .epoch, before: .latest, text: "t"),
        ]
        let removal = DeadLetterRemoval(.discarded, at: .epoch)
        try await database.withTransaction { tx in
            for filter in filters {
                _ = try await store.find(filter, after: 1, limit: 2, in: tx)
                _ = try await store.count(filter, atMost: 2, in: tx)
            }
            let groups = try await store.groups(after: nil, limit: 1, in: tx)
            _ = try await store.groups(after: groups.first?.id, limit: 1, in: tx)
            _ = try await store.lastPlace(in: tx)
            _ = try await store.remove(["1", "2"], removal, in: tx)
            _ = try await store.history(of: "1", limit: 2, in: tx)
        }
        _ = try await store.sweep(before: .latest, removal, limit: 100)
    }

    private static func run<DB: SagaDatabase>(on sagas: DB.Sagas, in database: DB) async throws {
        let wait = SagaWaitKey(type: "t", key: "k")
        let message = SagaMessage(name: "s", wait: wait, id: "m", payload: [])
        let row = SagaRow(
            id: "1", name: "s", version: 1, status: .running, fingerprint: "", state: [], progress: [],
            started: .epoch, changed: .epoch)
        try await database.withTransaction { tx in
            _ = try await sagas.insert(SagaChange(row: row, due: .epoch, opened: [wait]), in: tx)
            _ = try await sagas.insert(SagaChange(row: row), in: tx)
            try await sagas.send(message, retention: .zero, in: tx)
        }
        guard var claimed = try await sagas.claim(["s", "t"], limit: 1, lease: .seconds(1)).rows.first else {
            return
        }
        _ = try await sagas.renew(["1": claimed.epoch], lease: .seconds(1))
        let messages = try await database.withReadTransaction { tx in try await sagas.messages(for: "1", in: tx) }
        (claimed.seen, claimed.records) = (1, 1)
        let record = SagaRecord(sagaID: "1", number: 1, time: .epoch, kind: .started)
        let change = SagaChange(
            row: claimed, lease: .seconds(1), records: [record], opened: [SagaWaitKey(type: "t", key: "l")],
            closed: [wait], taken: messages.messages.map(\.number))
        try await database.withTransaction { tx in
            _ = try await sagas.save(change, in: tx)
            _ = try await sagas.save(change, in: tx)
            try await sagas.send(message, retention: .zero, in: tx)
            claimed.status = .completed
            claimed.records = 1
            _ = try await sagas.save(SagaChange(row: claimed), in: tx)
            for query in [
                SagaQuery(name: "s", step: "x"), SagaQuery(status: .parked, unchangedFor: .zero),
                SagaQuery(businessKey: "k"), SagaQuery(name: "s", status: .parked, businessKey: "k"),
            ] {
                _ = try await sagas.find(query, in: tx)
            }
            _ = try await sagas.history(of: "1", after: 0, limit: 1, in: tx)
        }
        _ = try await sagas.statistics()
        _ = try await sagas.sweep(olderThan: .zero, limit: 10)
        _ = try await sagas.sweepHistory(olderThan: .zero, limit: 10)
    }

    private static func message(_ id: String, key: PartitionKey? = nil) -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(id: MessageID(id), source: "/test", type: "test.happened")
        attributes.partitionKey = key
        return Envelope(attributes, payload: Bytes(id.utf8))
    }
}
