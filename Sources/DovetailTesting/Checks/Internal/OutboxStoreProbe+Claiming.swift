// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

extension OutboxStoreProbe {
    // MARK: Claiming

    func limitIsKept() async throws {
        let names = (1...10).map { "x\($0)" } + (1...10).map { "a\($0)" }
        try await append((1...10).map { message("x\($0)") } + (1...10).map { message("a\($0)", key: "a") })
        var found: [String] = []
        for _ in 0..<40 where found.count < 20 {
            let claim = try await claim(3)
            found += claim.names
            try await complete(claim)
        }
        try probe.require(found.sorted(), is: names.sorted(), "What claims of at most 3 rows had together")
    }

    func laneIsInOrder() async throws {
        try await append(1...5, to: "a")
        try await append([message("b1", key: "b"), message("a6", key: "a"), message("b2", key: "b")])
        try await append([message("x"), message("a7", key: "a"), message("a8", key: "a")])
        var found: [String] = []
        for _ in 0..<40 where found.count < 11 {
            let claim = try await claim(2)
            found += claim.names
            try await complete(claim)
        }
        try probe.require(
            found.filter { $0.hasPrefix("a") }, is: (1...8).map { "a\($0)" }, "The rows of the first lane")
        try probe.require(found.filter { $0.hasPrefix("b") }, is: ["b1", "b2"], "The rows of the second lane")
    }

    func laneIsInOneClaim() async throws {
        try await append(1...3, to: "a")
        let first = try await claim(2)
        try require(first, has: ["a1", "a2"], "A claim of two rows")
        try await requireNothingDue("While a claim holds rows of a lane, the others of it wait")
        try await append(4...4, to: "a")
        try await requireNothingDue("A row that was appended meanwhile waits too")
        try await store.complete([id("a1", in: first)], token: first.token)
        try await requireNothingDue("They wait until the claim holds none of the lane")
        try await store.complete([id("a2", in: first)], token: first.token)
        try await claim(exactly: ["a3", "a4"], "The rows behind, once the claim is settled")
    }

    func otherLanesGoOn() async throws {
        try await append(1...2, to: "a")
        try await append([message("x1")])
        let first = try await claim(exactly: ["a1", "a2", "x1"], "The first claim")
        try await append([message("a3", key: "a"), message("b1", key: "b"), message("x2")])
        try await claim(exactly: ["b1", "x2"], "What does not wait for the first claim")
        try await complete(first)
        try await claim(exactly: ["a3"], "What waited for the first claim")
    }

    func topicsHaveLanesOfTheirOwn() async throws {
        try await append([message("one", key: "a", topic: "check.outbox.one")])
        try await claim(exactly: ["one"], "The first topic")
        try await append([message("two", key: "a", topic: "check.outbox.two")])
        try await claim(exactly: ["two"], "The same key in the second topic")
    }

    func scheduledWaitsAlone() async throws {
        let start = Runtime.current.time.now() + probe.patience.span
        try await append([
            message("a later", key: "a", notBefore: start), message("x later", notBefore: start),
            message("past", notBefore: Runtime.current.time.now() - .seconds(60)),
        ])
        try await append([message("a1", key: "a"), message("x1")])
        let first = try await claim(exactly: ["past", "a1", "x1"], "What is due at once")
        try await complete(first)
        try await requireNothingDue("What is scheduled for later is not due")
        try await probe.waitForSpan()
        let second = try await claim(exactly: ["a later", "x later"], "What was scheduled, when its time has come")
        try await complete(second)
        try await requireNothingDue("All is done")
    }

    func concurrentClaimsAreDisjoint() async throws {
        let (keys, count) = (10, 20)
        for number in 1...count {
            try await append(
                (0..<keys).map { message("\($0)-\(number)", key: PartitionKey("k\($0)")) } + [message("x-\(number)")]
            )
        }
        let total = keys * count + count
        let published = Shared<[String]>([])
        let runtime = Runtime.current
        try await probe.together(
            "Claiming by four at once",
            (0..<4).map { _ in
                {
                    while published.withLock({ $0.count }) < total {
                        let claim = try await claim(7)
                        // Publishing takes a while, and not always the same.
                        try await runtime.time.sleep(for: probe.patience.slack / 10 * runtime.random.unit())
                        published.withLock { $0 += claim.names }
                        try await complete(claim)
                    }
                }
            }
        )
        let names = published.withLock { $0 }
        try probe.require(names.count, is: total, "How many rows four claimed together")
        try probe.require(Set(names).count, is: total, "How many different rows four claimed together")
        for key in 0..<keys {
            try probe.require(
                names.filter { $0.hasPrefix("\(key)-") }, is: (1...count).map { "\(key)-\($0)" },
                "The rows of lane \(key) in the order in which they were published"
            )
        }
    }

    // MARK: Leases

    func expiredIsClaimedAgain() async throws {
        try await append(1...2, to: "a")
        try await append([message("x")])
        let first = try await claim(exactly: ["a1", "a2", "x"], lease: probe.patience.span, "The first claim")
        try await store.complete([id("a1", in: first)], token: first.token)
        try await requireNothingDue("A lease that has not run out is respected")
        try await probe.waitForSpan()
        let second = try await claim(exactly: ["a2", "x"], "What an expired claim held and had not settled")
        try probe.require(
            second.token > first.token, "The later claim's token \(second.token) is not above \(first.token).")
        try probe.require(
            try id("a2", in: second), is: try id("a2", in: first), "The identifier of a row that is claimed again"
        )
        try await complete(second)
        try await requireNothingDue("All is done")
    }

    func lateSettlementIsRefused() async throws {
        try await append(1...2, to: "a")
        let first = try await claim(exactly: ["a1", "a2"], lease: probe.patience.span, "The first claim")
        try await probe.waitForSpan()
        let second = try await claim(exactly: ["a1", "a2"], "The second claim")
        let ids = first.rows.map(\.id)
        try await probe.require(.leaseLost, "A late complete") { try await store.complete(ids, token: first.token) }
        try await probe.require(.leaseLost, "A late park") { try await store.park(ids, token: first.token) }
        try await probe.require(.leaseLost, "A late release") { try await store.release(ids, token: first.token) }
        try await probe.require(.leaseLost, "A late fail") {
            try await store.fail(
                ids.map { OutboxFailure(id: $0, retryAfter: .zero, reason: "late") }, token: first.token
            )
        }
        try await requireNothingDue("The second claim still holds the rows")
        try await store.release(second.rows.map(\.id), token: second.token)
        let third = try await claim(exactly: ["a1", "a2"], "What the second claim released")
        try probe.require(third.rows.map(\.attempts), is: [0, 0], "The attempts that were counted")
    }

    func renewedIsKept() async throws {
        try await append(1...1, to: "a")
        let first = try await claim(exactly: ["a1"], lease: probe.patience.span, "The claim")
        try await store.renew(first.token, lease: longLease)
        try await probe.waitForSpan()
        try await requireNothingDue("A renewed claim holds its rows")
        try await complete(first)
        try await requireNothingDue("All is done")
    }

    func lostIsNotRenewed() async throws {
        try await append(1...1, to: "a")
        let first = try await claim(exactly: ["a1"], lease: probe.patience.span, "The first claim")
        try await probe.waitForSpan()
        let second = try await claim(exactly: ["a1"], lease: probe.patience.span, "The second claim")
        try await probe.require(.leaseLost, "Renewing a claim that was lost") {
            try await store.renew(first.token, lease: longLease)
        }
        try await probe.waitForSpan()
        let third = try await claim(exactly: ["a1"], "The third claim, since the second one was not renewed")
        try await complete(third)
        try await probe.require(.leaseLost, "Renewing a claim that is settled") {
            try await store.renew(third.token, lease: longLease)
        }
        try await probe.require(.leaseLost, "Completing a row by a claim that was lost") { try await complete(second) }
    }
}
