// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The checks of a dead letter store.
struct DeadLetterStoreProbe<DB: DeadLetterDatabase>: Sendable {
    let probe: CheckProbe
    let database: DB

    init(_ probe: CheckProbe, on database: DB) {
        self.probe = probe
        self.database = database
    }

    func letter(_ id: String, after seconds: Int64 = 0, content: Delivery.Content? = nil) -> DeadLetter {
        let attributes = EnvelopeAttributes(
            id: MessageID(id), source: "/dovetail/check", type: "dovetail.check", topic: "check.topic"
        )
        return DeadLetter(
            id: id, content: content ?? .envelope(Envelope(attributes, payload: Bytes(id.utf8))), topic: "check.topic",
            position: "3@1042", consumer: "check", attempts: 5, reason: .poison,
            failure: FailureDetail(type: "Check.Failure", place: "the place", message: "It did not w\u{F6}rk."),
            time: Timestamp(secondsSinceEpoch: 1_700_000_000 + seconds, nanoseconds: 123_456_789)
        )
    }

    func append(_ letters: [DeadLetter]) async throws {
        try await database.withTransaction { tx in try await database.deadLetterStore.append(letters, in: tx) }
    }

    func list(after: String? = nil, limit: Int = 1000) async throws -> [DeadLetter] {
        try await database.withReadTransaction { tx in
            try await database.deadLetterStore.list(after: after, limit: limit, in: tx)
        }
    }

    func count() async throws -> Int {
        try await database.withReadTransaction { tx in try await database.deadLetterStore.count(in: tx) }
    }

    private func only() async throws -> DeadLetter {
        let letters = try await list()
        guard letters.count == 1 else { throw probe.failure("One letter was kept, but \(letters.count) are listed.") }
        return letters[0]
    }

    private func require(_ found: DeadLetter, is kept: DeadLetter) throws {
        try probe.require(found.id, is: kept.id, "The identifier")
        try probe.require(found.topic, is: kept.topic, "The topic")
        try probe.require(found.position, is: kept.position, "The position")
        try probe.require(found.consumer, is: kept.consumer, "The consumer")
        try probe.require(found.attempts, is: kept.attempts, "The attempts")
        try probe.require(found.reason, is: kept.reason, "The reason")
        try probe.require(found.failure, is: kept.failure, "The failure")
        try probe.require(found.time, is: kept.time, "The time")
        try probe.require(found.queue, is: kept.queue, "The queue")
        try probe.require(found.tier, is: kept.tier, "The tier")
        try probe.require(found.fingerprint, is: kept.fingerprint, "The fingerprint")
    }

    func keptAsItWas() async throws {
        var attributes = EnvelopeAttributes(
            id: "id \u{1F600}", source: "/dovetail/check", type: "dovetail.check", topic: "check.topic"
        )
        attributes.version = MessageVersion(major: 2, minor: 1)
        attributes.subject = "s\u{FC}bject"
        attributes.time = Timestamp(secondsSinceEpoch: 1_700_000_000, nanoseconds: 123_456_789)
        attributes.expiry = Timestamp(secondsSinceEpoch: 4_000_000_000)
        attributes.notBefore = Timestamp(secondsSinceEpoch: 1_600_000_000)
        attributes.tenant = "tenant"
        attributes.partitionKey = "key"
        attributes.correlationID = "correlation"
        attributes.causationID = "cause"
        // The last two digits are the flags: not sampled.
        attributes.trace = TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").map {
            TraceContext(traceParent: $0, traceState: TraceState("vendor=value"))
        }
        attributes.baggage = Baggage("user=alice")
        attributes.contentType = "application/json"
        attributes.headers = ["Header-1": "v\u{E4}lue", "header-2": ""]
        attributes.extensions["foreign"] = .string("kept")
        let envelope = Envelope(attributes, payload: Bytes((0...255).map { UInt8($0) }))
        var kept = letter("letter", content: .envelope(envelope))
        (kept.queue, kept.tier) = ("qu\u{E9}ue", "gold")
        try await append([kept])
        let found = try await only()
        try require(found, is: kept)
        try probe.require(found.envelope?.attributes, is: attributes, "The attributes of the message")
        try probe.require(found.envelope?.payload == envelope.payload, "The payload of the message has changed.")
    }

    func undecodableIsKeptAsItCame() async throws {
        let bytes = Bytes((0...255).reversed().map { UInt8($0) })
        let headers: Headers = ["Content-Type": "?", "b": ""]
        let error = MessageError(.invalidCloudEvent, "This is no message.")
        let kept = letter("letter", content: .undecodable(bytes, headers: headers, error))
        try await append([kept])
        let found = try await only()
        try require(found, is: kept)
        guard case .undecodable(let foundBytes, let foundHeaders, let foundError) = found.content else {
            throw probe.failure("Bytes that are no message were kept as something else.")
        }
        try probe.require(foundBytes == bytes, "The bytes have changed.")
        try probe.require(foundHeaders, is: headers, "The headers")
        try probe.require(foundError.code, is: error.code, "The code of the error")
        try probe.require(foundError.message, is: error.message, "The message of the error")
    }

    func rolledBackIsNotKept() async throws {
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                try await database.deadLetterStore.append([letter("a"), letter("b")], in: tx)
                throw RollBack()
            }
        }
        try probe.require(try await list().map(\.id), is: [], "The letters after a roll-back")
        try probe.require(try await count(), is: 0, "Their count")
        try await append([letter("a")])
        try probe.require(try await list().map(\.id), is: ["a"], "The letters after the next commit")
    }

    func uncommittedIsUnseen() async throws {
        let (appended, looked) = (CheckGate(), CheckGate())
        try await probe.together(
            "Listing beside a writer",
            [
                {
                    try await database.withTransaction { tx in
                        try await database.deadLetterStore.append([letter("a")], in: tx)
                        appended.open()
                        try await looked.wait()
                    }
                },
                {
                    try await appended.wait()
                    defer { looked.open() }
                    try probe.require(try await count(), is: 0, "How many letters there are before the commit")
                    try probe.require(try await list().map(\.id), is: [], "The letters before the commit")
                },
            ]
        )
        try probe.require(try await list().map(\.id), is: ["a"], "The letters after the commit")
    }

    func keptOnce() async throws {
        try await append([letter("a"), letter("b")])
        try await append([letter("b", after: 7), letter("c")])
        try await append([letter("d"), letter("d", after: 7)])
        let letters = try await list()
        try probe.require(letters.map(\.id).sorted(), is: ["a", "b", "c", "d"], "The letters")
        for kept in letters { try probe.require(kept.time, is: letter("").time, "The time of the letter '\(kept.id)'") }
        try probe.require(try await count(), is: 4, "Their count")
    }

    func listedInOrder() async throws {
        let ids = (0..<10).map { "letter \(($0 * 7) % 10)" }
        for (number, id) in ids.enumerated() { try await append([letter(id, after: Int64(number))]) }
        try probe.require(try await list().map(\.id), is: ids, "All letters")
        var found: [String] = []
        while found.count <= ids.count {
            let page = try await list(after: found.last, limit: 3)
            try probe.require(page.count <= 3, "A page of at most 3 letters has \(page.count).")
            if page.isEmpty { break }
            found += page.map(\.id)
        }
        try probe.require(found, is: ids, "The pages together")
        try probe.require(try await list(limit: 0).map(\.id), is: [], "A page of no letters")
        try await append([letter("new", after: 100)])
        try probe.require(
            try await list(after: ids.last).map(\.id), is: ["new"], "The page behind the former last letter")
    }

    func counted() async throws {
        try probe.require(try await count(), is: 0, "The count of no letters")
        try await append([])
        try await append((0..<25).map { letter("\($0)") })
        try probe.require(try await count(), is: 25, "The count")
        try await append([letter("more")])
        try probe.require(try await count(), is: 26, "The count after one more")
        let inTransaction = try await database.withTransaction { tx in try await database.deadLetterStore.count(in: tx)
        }
        try probe.require(inTransaction, is: 26, "The count in a transaction that may write")
    }
}
