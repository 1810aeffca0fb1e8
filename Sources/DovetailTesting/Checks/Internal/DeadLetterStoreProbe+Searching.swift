// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension DeadLetterStoreProbe {
    /// A letter that differs from others in what filters look at.
    private func varied(
        _ id: String, queue: DeadLetterQueueName = "q", tier: DeadLetterTier = "t", reason: DeadLetterReason = .poison,
        type: MessageType = "check.type", consumer: String = "consumer", tenant: TenantID? = "tenant",
        topic: Topic = "check.topic", after seconds: Int64 = 0, text: String = "It failed.", place: String = "place",
        message: MessageID? = nil
    ) -> DeadLetter {
        var attributes = EnvelopeAttributes(
            id: message ?? MessageID("message of \(id)"), source: "/dovetail/check", type: type, topic: topic)
        attributes.tenant = tenant
        return DeadLetter(
            id: id, content: .envelope(Envelope(attributes, payload: Bytes(id.utf8))), topic: topic, position: "1@1",
            consumer: consumer, attempts: 3, reason: reason,
            failure: FailureDetail(type: "Check.Failure", place: place, message: text),
            time: time(after: seconds), queue: queue, tier: tier)
    }

    /// A whole number of microseconds, which is all that some stores know of a group.
    private func time(after seconds: Int64) -> Timestamp {
        Timestamp(secondsSinceEpoch: 1_700_000_000 + seconds, nanoseconds: 123_456_000)
    }

    private func find(
        _ filter: DeadLetterFilter, after place: Int64 = 0, limit: Int = 1000
    ) async throws -> [DeadLetter] {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.find(filter, after: place, limit: limit, in: tx)
        }
    }

    private func count(_ filter: DeadLetterFilter, atMost limit: Int = .max) async throws -> Int {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.count(filter, atMost: limit, in: tx)
        }
    }

    private func groups(after id: DeadLetterGroup.ID? = nil, limit: Int = 1000) async throws -> [DeadLetterGroup] {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.groups(after: id, limit: limit, in: tx)
        }
    }

    private func history(_ message: MessageID, limit: Int = 1000) async throws -> [DeadLetterRecord] {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.history(of: message, limit: limit, in: tx)
        }
    }

    @discardableResult
    private func remove(
        _ ids: [String], _ exit: DeadLetterExit = .discarded, after seconds: Int64 = 1000
    ) async throws -> Set<String> {
        let removal = DeadLetterRemoval(exit, at: time(after: seconds), job: "job", note: "not\u{E9}")
        return try await database.withTransaction { tx in
            try await database.deadLetterStore.remove(ids, removal, in: tx)
        }
    }

    // MARK: Looking

    func readByName() async throws {
        try await append([varied("a"), varied("b", text: "Another.")])
        let (found, other) = try await database.withReadTransaction { tx in
            (
                try await database.deadLetterStore.letter("b", in: tx),
                try await database.deadLetterStore.letter("c", in: tx)
            )
        }
        try probe.require(found?.failure.message, is: "Another.", "The letter 'b'")
        try probe.require(found?.place != nil, "A letter that was read has no place.")
        try probe.require(other == nil, "A letter was read by a name that none has.")
    }

    func foundByEachCondition() async throws {
        let odd = varied("odd", after: 100)
        // Each differs from the odd one in one thing.
        let others = [
            varied("queue", queue: "other", after: 100), varied("tier", tier: "other", after: 100),
            varied("reason", reason: .expired, after: 100), varied("type", type: "check.other", after: 100),
            varied("consumer", consumer: "other", after: 100), varied("tenant", tenant: "other", after: 100),
            varied("no tenant", tenant: nil, after: 100), varied("topic", topic: "other", after: 100),
            varied("time", after: 200), varied("text", after: 100, text: "It 100%_did not."),
            varied("place", after: 100, place: "other"),
        ]
        try await append(others + [odd])
        let all = Set(others.map(\.id)).union(["odd"])
        let pairs: [(DeadLetterFilter, Set<String>)] = [
            (.all, all),
            (DeadLetterFilter(queue: "other"), ["queue"]), (DeadLetterFilter(tier: "other"), ["tier"]),
            (DeadLetterFilter(reason: .expired), ["reason"]), (DeadLetterFilter(type: "check.other"), ["type"]),
            (DeadLetterFilter(consumer: "other"), ["consumer"]), (DeadLetterFilter(tenant: "other"), ["tenant"]),
            (DeadLetterFilter(topic: "other"), ["topic"]),
            (DeadLetterFilter(fingerprint: others[10].fingerprint), ["place"]),
            (DeadLetterFilter(since: time(after: 200)), ["time"]),
            (DeadLetterFilter(before: time(after: 200)), all.subtracting(["time"])),
            (DeadLetterFilter(since: time(after: 201)), []), (DeadLetterFilter(before: time(after: 100)), []),
            (DeadLetterFilter(text: "00%_DID"), ["text"]), (DeadLetterFilter(text: "0%did"), []),
            (DeadLetterFilter(text: "it f"), all.subtracting(["text"])),
            (DeadLetterFilter(letters: ["odd", "tier", "no such"]), ["odd", "tier"]),
            (DeadLetterFilter(messages: ["message of odd", "none"]), ["odd"]),
            (DeadLetterFilter(tier: "t", letters: ["odd", "tier"]), ["odd"]),
            (
                DeadLetterFilter(queue: "q", tier: "t", reason: .poison, consumer: "consumer", tenant: "other"),
                ["tenant"]
            ),
            (DeadLetterFilter(queue: "q", tenant: "other", text: "nothing of it"), []),
        ]
        for (filter, expected) in pairs {
            try probe.require(Set(try await find(filter).map(\.id)), is: expected, "What is found by \(filter)")
            try probe.require(try await count(filter), is: expected.count, "What is counted by \(filter)")
        }
    }

    func pagedByFilter() async throws {
        let reasons: [DeadLetterReason] = [.poison, .expired, .manual]
        for number in 0..<30 {
            try await append([varied("\(number)", reason: reasons[number % 3], after: Int64(number % 7))])
        }
        var found: [String] = []
        var place: Int64 = 0
        for _ in 0..<20 {
            let page = try await find(DeadLetterFilter(reason: .expired), after: place, limit: 3)
            try probe.require(page.count <= 3, "A page of at most 3 letters has \(page.count).")
            guard let last = page.last?.place else { break }
            try probe.require(
                page.map { $0.place ?? 0 }.allSatisfy { $0 > place }, "A page goes back before its start.")
            found += page.map(\.id)
            place = last
            // What a redrive does with a page before it reads the next one.
            try await remove(page.map(\.id))
        }
        try probe.require(found, is: (0..<30).filter { $0 % 3 == 1 }.map(String.init), "The pages together")
        let named = DeadLetterFilter(letters: ["27", "0", "26", "3"])
        try probe.require(try await find(named, limit: 2).map(\.id), is: ["0", "3"], "A page of letters by name")
    }

    func countedByFilter() async throws {
        try await append((0..<20).map { varied("\($0)", queue: $0 < 12 ? "q" : "r", after: Int64($0)) })
        try probe.require(try await count(DeadLetterFilter(queue: "q")), is: 12, "The letters of a queue")
        let late = DeadLetterFilter(queue: "q", since: time(after: 5))
        try probe.require(try await count(late), is: 7, "The letters of a queue since a time")
        try probe.require(try await count(late, atMost: 3), is: 3, "As many of them as asked for")
        try probe.require(try await count(.all, atMost: 3), is: 3, "As many of all as asked for")
        try probe.require(try await count(late, atMost: 0), is: 0, "None of them")
    }

    func groupedInStep() async throws {
        func counts() async throws -> [String: Int] {
            Dictionary(uniqueKeysWithValues: try await groups().map { ("\($0.id.queue) \($0.reason)", $0.count) })
        }
        let first = (0..<5).map { varied("p\($0)", after: Int64($0), text: "Number \($0).") }
        try await append(first + [varied("e", reason: .expired), varied("o", queue: "other")])
        try await append(first + [varied("p5", after: 5, text: "Number 5."), varied("p5")])
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                try await database.deadLetterStore.append([varied("p6")], in: tx)
                throw RollBack()
            }
        }
        let expected = ["q poison": 6, "q expired": 1, "other poison": 1]
        try probe.require(try await counts(), is: expected, "The groups after repeats and a roll-back")
        let group = try await groups().first { $0.reason == .poison && $0.id.queue == "q" }
        try probe.require(group?.first, is: time(after: 0), "The time of the first letter of a group")
        try probe.require(group?.last, is: time(after: 5), "The time of the last letter of a group")
        try probe.require(group?.failure.message, is: "Number 5.", "The example of a group")
        try probe.require(group?.id.fingerprint, is: first[0].fingerprint, "The fingerprint of a group")
        try probe.require(group?.type, is: "check.type", "The type of the messages of a group")
        try probe.require(group?.consumer, is: "consumer", "The consumer of a group")
        var paged: [DeadLetterGroup.ID] = []
        while let page = try await groups(after: paged.last, limit: 2).nonEmpty, paged.count < 9 {
            paged += page.map(\.id)
        }
        try probe.require(paged, is: try await groups().map(\.id), "The groups page by page")
        try probe.require(paged, is: paged.sorted(), "The order of the groups")
        try await remove(["p1", "p1", "e", "none"])
        let rest = ["q poison": 5, "other poison": 1]
        try probe.require(try await counts(), is: rest, "The groups after letters were removed")
        try await append([varied("e", reason: .expired, after: 9)])
        let again = try await groups().first { $0.reason == .expired }
        try probe.require(again?.count, is: 1, "A group that was empty and has a letter again")
        try probe.require(again?.first, is: time(after: 9), "The beginning of a group that was empty")
    }

    func placesOnlyRise() async throws {
        try await append([varied("a"), varied("b")])
        let before = try await find(.all).compactMap(\.place)
        let last = try await database.withReadTransaction { tx in try await database.deadLetterStore.lastPlace(in: tx) }
        try probe.require(last >= before.max() ?? 0, "The last place \(last) lies before that of a letter.")
        try await remove(["a", "b"])
        try await append([varied("c"), varied("a")])
        let after = try await find(.all).compactMap(\.place)
        try probe.require(after.count == 2 && after == after.sorted(), "The letters do not stand in their order.")
        try probe.require(
            (after.first ?? 0) > last, "The place \(after) was given although the last one was \(last) already.")
    }

    // MARK: Going out

    func removedOnce() async throws {
        try await append((0..<10).map { varied("\($0)") })
        try probe.require(try await remove(["3", "7", "none", "3"]), is: ["3", "7"], "The letters that were removed")
        try probe.require(try await remove(["3", "8"]), is: ["8"], "The letters that were removed then")
        try probe.require(try await remove([]), is: [], "No letters")
        try probe.require(try await list().map(\.id), is: ["0", "1", "2", "4", "5", "6", "9"], "The letters that stay")
        try probe.require(try await count(), is: 7, "Their count")
        try await append([varied("3", text: "Again.")])
        try probe.require(try await list().last?.failure.message, is: "Again.", "A letter that came back")
    }

    func rolledBackRemovalIsNone() async throws {
        try await append([varied("a"), varied("b")])
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                let removal = DeadLetterRemoval(.discarded, at: time(after: 1))
                _ = try await database.deadLetterStore.remove(["a"], removal, in: tx)
                throw RollBack()
            }
        }
        try probe.require(try await list().map(\.id), is: ["a", "b"], "The letters after a roll-back")
        try probe.require(try await count(), is: 2, "Their count")
        try probe.require(
            try await history("message of a").count, is: 0, "What is remembered of a letter that is there")
    }

    func removedByOneOfTwo() async throws {
        let ids = (0..<20).map(String.init)
        try await append(ids.map { varied($0) })
        let removed = Shared<[String]>([])
        try await probe.together(
            "Removing side by side",
            (0..<4).map { _ in
                {
                    let own = try await remove(ids)
                    removed.withLock { $0 += own }
                }
            })
        try probe.require(removed.withLock { $0.sorted() }, is: ids.sorted(), "What the transactions removed together")
        try probe.require(try await count(), is: 0, "The letters that stay")
        try probe.require(try await groups().count, is: 0, "The groups that stay")
        for id in ids {
            let records = try await history(MessageID("message of \(id)"))
            try probe.require(records.count, is: 1, "What is remembered of the letter '\(id)'")
        }
    }

    func historyIsRemembered() async throws {
        try await append([
            varied("a", reason: .expired, text: String(repeating: "x", count: 5000), message: "m"), varied("b"),
        ])
        try await remove(["a"], .redriven, after: 1)
        try await append([varied("c", message: "m")])
        try await remove(["c", "b"], .discarded, after: 2)
        let records = try await history("m")
        try probe.require(records.map(\.letter), is: ["a", "c"], "The letters of a message that left")
        try probe.require(records.map(\.removal.exit), is: [.redriven, .discarded], "How they left")
        guard let first = records.first else { return }
        try probe.require(first.reason, is: .expired, "The reason of the first")
        try probe.require(first.attempts, is: 3, "The attempts of the first")
        try probe.require(first.consumer, is: "consumer", "The consumer of the first")
        try probe.require(first.time, is: time(after: 0), "When the first was given up")
        try probe.require(first.removal.time, is: time(after: 1), "When the first left")
        try probe.require(first.removal.job, is: "job", "Why the first left")
        try probe.require(first.removal.note, is: "not\u{E9}", "What was said about the first")
        try probe.require(
            first.failure.message.utf8.count <= FailureDetail.mostBytesInFlight,
            "A record keeps \(first.failure.message.utf8.count) bytes of a failure.")
        try probe.require(try await history("m", limit: 1).map(\.letter), is: ["c"], "The last record")
        try probe.require(try await history("none").count, is: 0, "The records of a message that there is not")
    }

    func sweptInBounds() async throws {
        func sweep(before seconds: Int64, limit: Int) async throws -> DeadLetterSweep {
            let removal = DeadLetterRemoval(.swept, at: time(after: 1000))
            return try await database.deadLetterStore.sweep(before: time(after: seconds), removal, limit: limit)
        }
        try await append((0..<10).map { varied("\($0)", after: Int64($0)) })
        let first = try await sweep(before: 6, limit: 4)
        try probe.require(first.letters, is: 4, "The letters of a sweep of 4")
        try probe.require(try await count(), is: 6, "The letters after it")
        let second = try await sweep(before: 6, limit: 4)
        try probe.require(second, is: DeadLetterSweep(letters: 2, records: 0), "The next sweep")
        try probe.require(try await list().map(\.id), is: ["6", "7", "8", "9"], "The letters that are young enough")
        let records = try await history("message of 0")
        try probe.require(records.map(\.removal.exit), is: [.swept], "What is remembered of a letter that was swept")
        try probe.require(try await groups().map(\.count), is: [4], "The group")
        let third = try await sweep(before: 6, limit: 4)
        try probe.require(third, is: DeadLetterSweep(letters: 0, records: 0), "A sweep without anything old")
        try await remove(["6", "7", "8", "9"], after: 2000)
        let fourth = try await sweep(before: 1500, limit: 100)
        try probe.require(fourth, is: DeadLetterSweep(letters: 0, records: 6), "The sweep of old records")
        try probe.require(try await history("message of 6").count, is: 1, "A record that is young enough")
    }
}

extension Array {
    /// The array; `nil` if it has no elements.
    fileprivate var nonEmpty: [Element]? { isEmpty ? nil : self }
}
