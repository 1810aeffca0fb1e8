// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga

/// The checks of a saga store about saving, messages and looking.
extension SagaStoreProbe {
    private var wait: SagaWaitKey { SagaWaitKey(type: "check.message", key: "k") }

    // MARK: Saving

    func savedIsReadAsItWas() async throws {
        try await add(["1", "2"])
        var rows = try await claim(exactly: ["1", "2"], "What is due").sorted { $0.id < $1.id }
        let now = try await now()
        rows[0].status = .parked
        (rows[0].version, rows[0].step, rows[0].reason, rows[0].records) = (2, "s", "r", 2)
        (rows[0].state, rows[0].progress) = (Bytes("[1]".utf8), Bytes("[2]".utf8))
        rows[0].changed = now + .seconds(1)
        let records = [record(1, of: "1", at: now), record(2, of: "1", at: now)]
        try await saved(SagaChange(row: rows[0], records: records), "A saga that waits for a person")
        rows[0].claims = 0
        try probe.require(try await load("1"), is: rows[0], "The saga as it is read")
        try probe.require(try await history(of: "1"), is: records, "Its history")
        rows[1].records = 1
        try await saved(
            SagaChange(row: rows[1], lease: probe.patience.span, records: [record(1, of: "2", at: now)]),
            "A saga that is kept in hand")
        try probe.require(try await load("2").claims, is: 1, "The claims of a saga that is kept in hand")
        try await claim(exactly: [], "What is due while one is parked and one in hand")
        try await saved(SagaChange(row: rows[1], due: now), "A saga that is given back")
        let again = try await claim(exactly: ["2"], "What is due when it was given back")
        try probe.require(again[0].claims, is: 1, "The claims of a saga that was given back and claimed")
    }

    func lateSaveIsRefused() async throws {
        try await add(["1"])
        var former = try await claim(exactly: ["1"], lease: probe.patience.span, "What is due")[0]
        try await probe.waitForSpan()
        var owner = try await claim(exactly: ["1"], "What is due when the lease has run out")[0]
        let now = try await now()
        former.records = 1
        (former.state, owner.state) = (Bytes("former".utf8), Bytes("owner".utf8))
        let late = SagaChange(row: former, records: [record(1, of: "1", at: now)])
        try await probe.require(.leaseLost, "A save by a former owner") { _ = try await save(late) }
        try probe.require(try await history(of: "1").isEmpty, "A former owner has written a record.")
        owner.records = 1
        try await saved(
            SagaChange(row: owner, due: now, records: [record(1, of: "1", at: now)]), "What the owner saves")
        try await probe.require(.leaseLost, "A save by a former owner") { _ = try await save(late) }
        try probe.require(try await load("1").state, is: owner.state, "The state")
    }

    func unseenMessagesKeepFromSaving() async throws {
        try await add(["1"], waiting: [wait])
        var row = try await claim(exactly: ["1"], "What is due")[0]
        try await send(message("m", wait))
        (row.state, row.records) = (Bytes("x".utf8), 1)
        let now = try await now()
        var change = SagaChange(row: row, due: now, records: [record(1, of: "1", at: now)])
        try probe.require(
            try await save(change), is: .unseenMessages, "What becomes of a save that did not see a message")
        try probe.require(try await load("1").state, is: Bytes("{}".utf8), "The state after a save that wrote nothing")
        try probe.require(try await history(of: "1").isEmpty, "A save that wrote nothing has written a record.")
        let found = try await messages(for: "1")
        try probe.require(found.signals, is: 1, "How many messages are counted")
        change.row.seen = found.signals
        try probe.require(try await save(change), is: .saved(signals: 1), "A save that has seen the message")
    }

    func repeatedIsWrittenOnce() async throws {
        try await add(["1"])
        var row = try await claim(exactly: ["1"], "What is due")[0]
        let now = try await now()
        row.records = 2
        let records = [record(1, of: "1", at: now), record(2, of: "1", at: now)]
        let change = SagaChange(row: row, lease: longLease, records: records)
        try await saved(change, "A change")
        try probe.require(try await save(change), is: .repeated(signals: 0), "What becomes of the same change again")
        try probe.require(try await history(of: "1"), is: records, "The history after the same change twice")
        row.records = 3
        (row.status, row.changed) = (.completed, now)
        let end = SagaChange(row: row, records: [record(3, of: "1", at: now)])
        try await saved(end, "The end")
        try probe.require(try await save(end), is: .repeated(signals: 0), "What becomes of the same end again")
        // Also where nothing tells but a message that is gone.
        try await add(["2"], isDue: false, waiting: [wait])
        try await send(message("m", wait))
        let taker = try await claim(exactly: ["2"], "What a message has made due")[0]
        let numbers = try await messages(for: "2").messages.map(\.number)
        let taking = SagaChange(row: seeing(taker, 1), lease: longLease, taken: numbers)
        try await saved(taking, "A change without records that takes a message")
        try probe.require(try await save(taking), is: .repeated(signals: 1), "What becomes of the same taking again")
    }

    func staleSaveIsRefused() async throws {
        try await add(["1"], isDue: false, waiting: [wait])
        try await send(message("m", wait))
        let row = try await claim(exactly: ["1"], "What a message has made due")[0]
        let now = try await now()
        let numbers = try await messages(for: "1").messages.map(\.number)
        var written = seeing(row, 1)
        (written.state, written.records) = (Bytes("written".utf8), 2)
        let records = [record(1, of: "1", at: now), record(2, of: "1", at: now)]
        try await saved(
            SagaChange(row: written, lease: longLease, records: records, taken: numbers),
            "A change that takes a message")
        // One who did not hear of it finds no message, and so may have nothing to record, less, as much or more.
        for count in 0...3 as ClosedRange<Int64> {
            var other = seeing(row, 1)
            (other.state, other.records) = (Bytes("stale".utf8), count)
            let stale = SagaChange(
                row: other, lease: longLease, records: (0..<count).map { record($0 + 1, of: "1", at: now) })
            try await probe.require(.leaseLost, "A save with \(count) records that follows from what is no more") {
                _ = try await save(stale)
            }
        }
        try probe.require(try await load("1").state, is: written.state, "The state")
        try probe.require(try await history(of: "1"), is: records, "The history")
    }

    func endedIsLeftAlone() async throws {
        try await add(["1"], waiting: [wait])
        var row = try await claim(exactly: ["1"], lease: probe.patience.span, "What is due")[0]
        try await send(message("m", wait))
        (row.status, row.records, row.seen) = (.completed, 1, 1)
        let now = try await now()
        try await saved(
            SagaChange(row: row, lease: longLease, due: now, records: [record(1, of: "1", at: now)], closed: [wait]),
            "The end")
        try await probe.waitForSpan()
        let claim = try await claim()
        try probe.require(claim.rows.isEmpty && claim.nextDue == nil, "A saga that has ended is due.")
        try probe.require(try await messages(for: "1").messages.isEmpty, "Messages of a saga that has ended are there.")
        try probe.require(try await send(message("late", wait)), is: [], "Whom a message reaches afterwards")
        try probe.require(
            try await send(message("order", wait, to: "1")), is: [], "Whom a message for it reaches afterwards")
        try probe.require(try await self.claim().rows.isEmpty, "A message has made a saga due that has ended.")
    }

    // MARK: Messages

    func messageReachesThoseWhoWait() async throws {
        let other = SagaWaitKey(type: "check.message", key: "other")
        let kind = SagaWaitKey(type: "check.other", key: "k")
        try await add(["a", "b"], isDue: false, waiting: [wait, other])
        try await add(["c"], isDue: false, waiting: [other])
        try await add(["d"], isDue: false, waiting: [kind])
        try await add(["e"], name: "other", isDue: false, waiting: [wait])
        var sent = message("m \u{1F600}", wait)
        sent.payload = Bytes((0...255).map { UInt8($0) })
        try probe.require(try await send(sent).sorted(), is: ["a", "b"], "Whom a message reaches")
        let rows = try await claim(exactly: ["a", "b"], "What a message has made due")
        for row in rows {
            try probe.require(row.signals, is: 1, "How many messages are counted")
            try probe.require(row.seen, is: 0, "How many messages were seen")
            let found = try await messages(for: row.id).messages
            try probe.require(found.count, is: 1, "How many messages are there")
            var expected = sent
            (expected.number, expected.target) = (found[0].number, row.id)
            try probe.require(found[0], is: expected, "The message as it is read")
        }
        try probe.require(try await claim(["other"]).rows.isEmpty, "A message reached a saga of another kind.")
    }

    func earlyMessageIsKept() async throws {
        try probe.require(try await send(message("early", wait)), is: [], "Whom a message reaches that comes early")
        try await add(["other"], isDue: false, waiting: [SagaWaitKey(type: "check.message", key: "other")])
        try await claim(exactly: [], "What is due")
        try await add(["1"], isDue: false, waiting: [wait])
        let row = try await claim(exactly: ["1"], "What a message has made due that came early")[0]
        try probe.require(row.signals, is: 1, "How many messages are counted")
        try probe.require(
            try await messages(for: "1").messages.map(\.id), is: ["early"], "The messages that came early")
        try await add(["2"], isDue: false, waiting: [wait])
        try await claim(exactly: [], "What is due when the message has gone to another")
        // Also where the wait begins later than the saga.
        try await send(message("second", SagaWaitKey(type: "check.message", key: "late")))
        let change = SagaChange(
            row: seeing(row, 1), lease: longLease, opened: [SagaWaitKey(type: "check.message", key: "late")])
        try probe.require(try await saved(change, "A save that begins to wait"), is: 2, "How many messages are counted")
        try probe.require(
            try await messages(for: "1").messages.map(\.id), is: ["early", "second"], "The messages that came early")
    }

    private func seeing(_ row: SagaRow, _ seen: Int64) -> SagaRow {
        var row = row
        row.seen = seen
        return row
    }

    func messageMeetsItsWait() async throws {
        let (started, claimed) = ((1...10).map { SagaID("started \($0)") }, (1...10).map { SagaID("claimed \($0)") })
        func key(of id: SagaID) -> SagaWaitKey { SagaWaitKey(type: "check.message", key: id.rawValue) }
        try await add(claimed)
        func sending(to id: SagaID) -> @Sendable () async throws -> Void {
            let sent = message(id.rawValue, key(of: id))
            return {
                try await database.withTransaction(isolation: .readCommitted) { tx in
                    _ = try await store.now(in: tx)
                    _ = try await store.send(sent, retention: longLease, in: tx)
                }
            }
        }
        var bodies: [@Sendable () async throws -> Void] = []
        for (index, row) in try await claim(exactly: claimed, "What is due").enumerated() {
            let change = SagaChange(row: row, lease: longLease, opened: [key(of: row.id)])
            let saving: @Sendable () async throws -> Void = {
                // As engines do.
                try await database.withTransaction(isolation: .readCommitted) { tx in
                    guard case .saved = try await store.save(change, in: tx) else {
                        throw probe.failure("A save that begins to wait was not saved.")
                    }
                }
            }
            let (id, opened) = (started[index], [key(of: started[index])])
            // As users do, in transactions of their own.
            let starting: @Sendable () async throws -> Void = { try await add([id], isDue: false, waiting: opened) }
            // Next to each other, and now one first, now the other: a store that runs a few at a time would keep them apart.
            for (beginning, send) in [(saving, sending(to: row.id)), (starting, sending(to: id))] {
                bodies += index.isMultiple(of: 2) ? [beginning, send] : [send, beginning]
            }
        }
        try await probe.together("Messages that are sent while sagas begin to wait", bodies)
        for id in started + claimed {
            let found = try await messages(for: id)
            try probe.require(found.messages.map(\.id.rawValue), is: [id.rawValue], "The messages for '\(id)'")
            try probe.require(found.signals, is: 1, "How many messages are counted with '\(id)'")
        }
    }

    func closedWaitIsNotReached() async throws {
        try await add(["1"], waiting: [wait])
        let row = try await claim(exactly: ["1"], "What is due")[0]
        try await saved(SagaChange(row: row, closed: [wait]), "A save that waits no longer")
        try probe.require(try await send(message("m", wait)), is: [], "Whom a message reaches")
        try await claim(exactly: [], "What is due")
    }

    func messagesAreTakenInOrder() async throws {
        try await add(["1"], isDue: false, waiting: [wait])
        let names = (1...12).map { "m\($0)" }
        for name in names { try await send(message(name, wait)) }
        let row = try await claim(exactly: ["1"], "What messages have made due")[0]
        let found = try await messages(for: "1")
        try probe.require(found.messages.map(\.id.rawValue), is: names, "The messages in their order")
        try probe.require(found.signals, is: 12, "How many messages are counted")
        let change = SagaChange(row: seeing(row, 12), taken: found.messages.prefix(5).map(\.number))
        try await saved(change, "A save that takes some")
        try probe.require(
            try await messages(for: "1").messages.map(\.id.rawValue), is: Array(names.dropFirst(5)), "Those left")
        try await claim(exactly: [], "What is due when all messages were seen")
    }

    func targetedMessageReachesItsSaga() async throws {
        try await add(["1", "2"], isDue: false)
        try probe.require(try await send(message("m", wait, to: "1")), is: ["1"], "Whom a message for one reaches")
        try await claim(exactly: ["1"], "What it has made due")
        try probe.require(try await messages(for: "1").messages.map(\.id), is: ["m"], "The messages")
        try probe.require(try await messages(for: "2").messages.isEmpty, "A message for one reached another.")
        try probe.require(try await send(message("x", wait, to: "nobody")), is: [], "Whom one for nobody reaches")
        // One that is in hand hears of it at its next save.
        try await send(message("m2", wait, to: "1"))
        try await claim(exactly: [], "What is due while another holds it")
    }

    // MARK: Looking and sweeping

    func historyIsKept() async throws {
        try await add(["1"])
        var row = try await claim(exactly: ["1"], "What is due")[0]
        let now = try await now()
        var full = SagaRecord(
            sagaID: "1", number: 1, time: now, kind: "own kind", step: "st\u{E9}p", attempt: 3, detail: "d;'\"",
            payload: #"{"a":1}"#, author: "ann", messageID: "m")
        full.detail = full.detail.map { $0 + "\u{1F600}" }
        let records = [full] + (2...7).map { record($0, of: "1", at: now) }
        (row.status, row.records) = (.completed, 7)
        try await saved(SagaChange(row: row, records: records), "The end")
        try probe.require(try await history(of: "1"), is: records, "The history")
        let page = try await history(of: "1", after: 2, limit: 3)
        try probe.require(page.map(\.number), is: [3, 4, 5], "A page of the history")
        try await probe.waitForSpan()
        let swept = try await store.sweep(olderThan: .zero, limit: 10)
        try probe.require(swept, is: 1, "How many sagas were forgotten")
        try probe.require(try await history(of: "1"), is: records, "The history of a saga that was forgotten")
        let some = try await store.sweepHistory(olderThan: .zero, limit: 4)
        try probe.require(some, is: 4, "How many records were forgotten of at most 4")
        try probe.require(try await store.sweepHistory(olderThan: .zero, limit: 10), is: 3, "How many were left")
        try probe.require(try await history(of: "1").isEmpty, "Records are there that were forgotten.")
    }

    func sagasAreFound() async throws {
        let now = try await now()
        let all: [(id: SagaID, name: String, status: SagaStatus, step: String?, key: String?, age: Int)] = [
            ("1", "x", .running, "a", "k", 40), ("2", "x", .parked, "a", "k", 30), ("3", "y", .parked, "b", nil, 20),
            ("4", "y", .completed, nil, "k", 10), ("5", "x", .running, "b", "other", 50),
        ]
        try await database.withTransaction { tx in
            for one in all {
                var row = row(one.id, name: one.name, status: one.status, at: now - .seconds(one.age))
                (row.step, row.businessKey) = (one.step, one.key)
                _ = try await store.insert(SagaChange(row: row), in: tx)
            }
        }
        let queries: [(query: SagaQuery, ids: [SagaID])] = [
            (SagaQuery(name: "x"), ["5", "1", "2"]), (SagaQuery(status: .parked), ["2", "3"]),
            (SagaQuery(businessKey: "k"), ["1", "2", "4"]), (SagaQuery(name: "x", step: "a"), ["1", "2"]),
            (SagaQuery(name: "x", status: .parked), ["2"]), (SagaQuery(name: "x", limit: 2), ["5", "1"]),
            (SagaQuery(status: .running, unchangedFor: .seconds(45)), ["5"]),
            (SagaQuery(step: "b"), ["5", "3"]), (SagaQuery(), ["5", "1", "2", "3", "4"]),
            (SagaQuery(status: .cancelled), []), (SagaQuery(limit: 0), []),
        ]
        for (query, ids) in queries {
            let found = try await database.withReadTransaction { tx in try await store.find(query, in: tx) }
            try probe.require(found.map(\.id), is: ids, "What \(query) finds")
        }
    }

    func sweepIsBounded() async throws {
        try await add(["open", "a", "b", "c"])
        let rows = try await claim(exactly: ["a", "b", "c", "open"], "What is due")
        let now = try await now()
        for (id, status) in [("a", .completed), ("b", .compensated), ("c", .cancelled)] as [(SagaID, SagaStatus)] {
            guard var row = rows.first(where: { $0.id == id }) else { continue }
            (row.status, row.changed) = (status, now)
            try await saved(SagaChange(row: row), "The end")
        }
        try probe.require(
            try await store.sweep(olderThan: longLease, limit: 10), is: 0, "What a sweep of old ones forgets")
        try await probe.waitForSpan()
        try probe.require(try await store.sweep(olderThan: .zero, limit: 2), is: 2, "What a sweep of at most 2 forgets")
        try probe.require(try await store.sweep(olderThan: .zero, limit: 2), is: 1, "What the next one forgets")
        try probe.require(try await load("open").id, is: "open", "The saga that has not ended")
        try await send(message("m", wait), retention: .zero)
        try await probe.waitForSpan()
        try probe.require(try await store.sweep(olderThan: .zero, limit: 2), is: 1, "What is swept of old messages")
        try await add(["late"], isDue: false, waiting: [wait])
        try probe.require(try await messages(for: "late").messages.isEmpty, "A message is there that was forgotten.")
    }

    func forgottenStaysForgotten() async throws {
        try await add(["1"])
        let row = try await claim(exactly: ["1"], "What is due")[0]
        let now = try await now()
        var end = row
        (end.status, end.records, end.changed) = (.completed, 1, now)
        try await saved(SagaChange(row: end, records: [record(1, of: "1", at: now)]), "The end")
        try await probe.waitForSpan()
        try probe.require(try await store.sweep(olderThan: .zero, limit: 10), is: 1, "How many sagas were forgotten")
        var late = row
        late.records = 2
        let change = SagaChange(row: late, due: now, records: [record(2, of: "1", at: now)])
        try await probe.require(.leaseLost, "A save of a saga that was forgotten") { _ = try await save(change) }
        try probe.require(try await send(message("m", wait, to: "1")), is: [], "Whom a message for it reaches")
        let lost = try await store.renew(["1": row.epoch], lease: longLease)
        try probe.require(lost, is: ["1"], "What was lost of the claim of a saga that was forgotten")
        let found = try await database.withReadTransaction { tx in try await store.load("1", in: tx) }
        try probe.require(found == nil, "A saga is there that was forgotten.")
        try await claim(exactly: [], "What is due")
        try probe.require(try await history(of: "1").map(\.number), is: [1], "The history of a saga that was forgotten")
    }

    func identifierIsUsedAgain() async throws {
        try await add(["1"])
        var end = try await claim(exactly: ["1"], "What is due")[0]
        let now = try await now()
        (end.status, end.records, end.changed) = (.completed, 2, now)
        let records = [record(1, of: "1", at: now), record(2, of: "1", at: now)]
        try await saved(SagaChange(row: end, records: records), "The end")
        try await probe.waitForSpan()
        try probe.require(try await store.sweep(olderThan: .zero, limit: 10), is: 1, "How many sagas were forgotten")
        var first = row("1", at: now)
        first.records = 1
        let change = SagaChange(row: first, due: now, records: [record(1, of: "1", at: now)])
        let inserted = try await database.withTransaction { tx in try await store.insert(change, in: tx) }
        try probe.require(inserted, is: .inserted(records: 3), "What came of adding a saga of the same identifier")
        try probe.require(try await history(of: "1").map(\.number), is: [1, 2, 3], "The history of both")
        var next = try await claim(exactly: ["1"], "What is due of the second")[0]
        try probe.require(next.records, is: 3, "How many records the second has")
        next.records = 4
        try await saved(SagaChange(row: next, due: now, records: [record(4, of: "1", at: now)]), "The second")
        try probe.require(
            try await history(of: "1", after: 2).map(\.number), is: [3, 4], "The history after the first")
    }

    func statisticsCount() async throws {
        let none = try await store.statistics()
        try probe.require(
            none, is: SagaStatistics(open: 0, parked: 0, longestOverdue: nil), "The statistics of nothing")
        try await add(["1", "2", "3"])
        try await probe.waitForSpan()
        let due = try await store.statistics()
        try probe.require(due.open, is: 3, "How many have not ended")
        guard let overdue = due.longestOverdue, overdue >= probe.patience.span else {
            throw probe.failure(
                "Sagas have been due for \(probe.patience.span), but \(due.longestOverdue as Any) is told.")
        }
        let rows = try await claim(exactly: ["1", "2", "3"], "What is due")
        let held = try await store.statistics()
        try probe.require(held.longestOverdue == nil, "Sagas are overdue that are in hand.")
        for (row, status) in zip(rows, [.parked, .completed] as [SagaStatus]) {
            var row = row
            row.status = status
            try await saved(SagaChange(row: row), "A saga")
        }
        let last = try await store.statistics()
        try probe.require(last.open, is: 2, "How many have not ended")
        try probe.require(last.parked, is: 1, "How many are parked")
    }
}
