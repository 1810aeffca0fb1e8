// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox

extension OutboxStoreProbe {
    private func fail(_ names: [String], of claim: OutboxClaim, after delay: Duration) async throws {
        try await store.fail(
            try names.map { OutboxFailure(id: try id($0, in: claim), retryAfter: delay, reason: "not today") },
            token: claim.token
        )
    }

    // MARK: Settling

    func completedIsDone() async throws {
        try await append([message("a1", key: "a"), message("x")])
        let claim = try await claim(exactly: ["a1", "x"], lease: probe.patience.span, "The claim")
        try await complete(claim)
        try await requireNothingDue("What is completed is done")
        try await probe.waitForSpan()
        try await requireNothingDue("What is completed is done, also when the lease has run out")
        try probe.require(try await store.statistics().unsent, is: 0, "How many rows are unsent")
    }

    func settlingIsByRow() async throws {
        try await append((1...4).map { message("x\($0)") } + [message("a1", key: "a"), message("a2", key: "a")])
        let claim = try await claim(
            exactly: ["x1", "x2", "x3", "x4", "a1", "a2"], lease: probe.patience.span, "The claim"
        )
        try await store.complete([id("x3", in: claim), id("x1", in: claim)], token: claim.token)
        try await store.complete([], token: claim.token)
        try await probe.require(.leaseLost, "Completing one row again and another for the first time") {
            try await store.complete([id("x1", in: claim), id("x2", in: claim)], token: claim.token)
        }
        try await probe.require(.leaseLost, "Completing a row that there never was") {
            try await store.complete([OutboxRow.ID(number: .max)], token: claim.token)
        }
        try await store.complete([id("a1", in: claim)], token: claim.token)
        try await probe.waitForSpan()
        try await self.claim(exactly: ["x4", "a2"], "What was not completed")
    }

    func failedComesAgainLater() async throws {
        try await append([message("a1", key: "a"), message("x")])
        let first = try await claim(exactly: ["a1", "x"], "The first claim")
        try await fail(["a1", "x"], of: first, after: probe.patience.span)
        try await requireNothingDue("What failed waits for its delay")
        try await probe.waitForSpan()
        let second = try await claim(exactly: ["a1", "x"], "What failed, after its delay")
        try probe.require(second.rows.map(\.attempts), is: [1, 1], "The attempts that are counted")
        try await fail(["a1", "x"], of: second, after: .zero)
        let third = try await claim(exactly: ["a1", "x"], "What failed and may come at once")
        try probe.require(third.rows.map(\.attempts), is: [2, 2], "The attempts that are counted")
        try await complete(third)
        try await requireNothingDue("All is done")
    }

    func failedHoldsUpItsLane() async throws {
        try await append((1...4).map { message("a\($0)", key: "a") } + [message("b1", key: "b"), message("x")])
        let first = try await claim(exactly: ["a1", "a2", "a3", "a4", "b1", "x"], "The first claim")
        try await store.complete(
            [id("a1", in: first), id("b1", in: first), id("x", in: first)], token: first.token
        )
        try await append([message("a5", key: "a"), message("b2", key: "b"), message("y")])
        // In an order of its own: rows go back to their places, whatever the order of the calls.
        try await store.release([id("a4", in: first), id("a3", in: first)], token: first.token)
        try await fail(["a2"], of: first, after: probe.patience.span)
        try await append([message("a6", key: "a")])
        try await claim(exactly: ["b2", "y"], "What does not wait for the failed row")
        try await probe.waitForSpan()
        let second = try await claim(exactly: ["a2", "a3", "a4", "a5", "a6"], "The lane, after the delay")
        try probe.require(second.rows.map(\.attempts), is: [1, 0, 0, 0, 0], "The attempts that are counted")
    }

    func releasedIsDueAtOnce() async throws {
        try await append((1...3).map { message("a\($0)", key: "a") } + [message("x")])
        let first = try await claim(exactly: ["a1", "a2", "a3", "x"], "The first claim")
        try await store.release([id("a3", in: first), id("x", in: first)], token: first.token)
        try await store.release([id("a1", in: first), id("a2", in: first)], token: first.token)
        let second = try await claim(exactly: ["a1", "a2", "a3", "x"], "What was released")
        try probe.require(second.rows.map(\.attempts), is: [0, 0, 0, 0], "The attempts that are counted")
    }

    func parkedIsOutOfTheWay() async throws {
        try await append(1...3, to: "a")
        let first = try await claim(2)
        try require(first, has: ["a1", "a2"], "The first claim")
        try await store.park([id("a1", in: first)], token: first.token)
        try await store.complete([id("a2", in: first)], token: first.token)
        let second = try await claim(exactly: ["a3"], lease: probe.patience.span, "What is behind the parked row")
        try await complete(second)
        try await probe.waitForSpan()
        try await requireNothingDue("What is parked stays parked")
    }

    // MARK: Looking and sweeping

    func statisticsCount() async throws {
        let empty = try await store.statistics()
        try probe.require(empty, is: OutboxStatistics(unsent: 0, oldestUnsent: nil, parked: 0), "An empty outbox")
        try await append(1...2, to: "a")
        try await probe.waitForSpan()
        try await append([message("x")])
        let first = try await store.statistics()
        try probe.require(first.unsent, is: 3, "How many are unsent")
        try require(first.oldestUnsent, isAbout: probe.patience.span, "The age of the oldest unsent row")
        let claim = try await claim(exactly: ["a1", "a2", "x"], "The claim")
        try probe.require(try await store.statistics().unsent, is: 3, "How many are unsent while they are claimed")
        try await store.park([id("a1", in: claim)], token: claim.token)
        try await store.complete([id("a2", in: claim)], token: claim.token)
        let second = try await store.statistics()
        try probe.require(second.unsent, is: 1, "How many are unsent")
        try probe.require(second.parked, is: 1, "How many are parked")
        try require(second.oldestUnsent, isAbout: .zero, "The age of the oldest unsent row")
        try await complete(
            OutboxClaim(rows: claim.rows.filter { $0.name == "x" }, token: claim.token, expiry: claim.expiry))
        try await append([message("later", notBefore: Runtime.current.time.now() + .seconds(3600))])
        let third = try await store.statistics()
        try probe.require(third.unsent, is: 1, "How many are unsent, one scheduled for later")
        try probe.require(third.oldestUnsent, is: nil, "The age of the oldest unsent row that is due")
    }

    /// Whether a measured age is what it should be, within what a store may be late.
    private func require(_ age: Duration?, isAbout expected: Duration, _ what: String) throws {
        let (least, most) = (expected, expected + probe.patience.slack + probe.patience.limit / 2)
        guard let age, age >= least, age <= most else {
            throw probe.failure(
                "\(what): expected \(expected) or a little more, found \(age.map(\.description) ?? "none").")
        }
    }

    func sweepIsBounded() async throws {
        try await append((1...5).map { message("x\($0)") } + [message("unsent")])
        let claim = try await claim(exactly: ["x1", "x2", "x3", "x4", "x5", "unsent"], "The claim")
        try await store.park(try (1...5).map { try id("x\($0)", in: claim) }, token: claim.token)
        try await store.release([id("unsent", in: claim)], token: claim.token)
        try probe.require(
            try await store.sweep(olderThan: longLease, limit: 10), is: 0,
            "How many rows were swept that are not old enough"
        )
        try await probe.waitForSpan()
        var swept: [Int] = []
        while swept.last != 0, swept.count < 10 {
            swept.append(try await store.sweep(olderThan: probe.patience.span, limit: 2))
        }
        try probe.require(swept, is: [2, 2, 1, 0], "How many rows sweeps of at most two forgot of five")
        let statistics = try await store.statistics()
        try probe.require(statistics.parked, is: 0, "How many rows are parked after the sweeps")
        try probe.require(statistics.unsent, is: 1, "How many rows are unsent after the sweeps")
        try await self.claim(exactly: ["unsent"], "What was not done")
    }
}
