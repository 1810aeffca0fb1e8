// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore

extension WaitingRoomProbe {
    // MARK: Blocking

    func blockedIsKept() async throws {
        try await admit("a1", "b1")
        try await block("a", followers: ["a2"])
        try await block("c")
        try await require(["a", "b", "c"], areOccupied: true, "Lanes with messages, and an empty one that is blocked")
        try probe.require(try await follow("a3", "c1"), is: ["a3", "c1"], "Those that followed into blocked lanes")
        try await claim(exactly: [["b1"]], "All but blocked lanes")
        try await probe.waitForSpan()
        try await requireNothingDue("A blocked lane does not become due by itself")
    }

    func releasedGoesOn() async throws {
        try await block("a", followers: ["a2", "a3"])
        try await block("b")
        try await block("c", followers: ["c2"])
        try await release("a")
        try await release("b")
        try await release("c", restoring: ["c0", "c1"])
        try await require(["b"], areOccupied: false, "A lane without messages once it is released")
        try await claim(exactly: [["a2", "a3"], ["c0", "c1", "c2"]], "Released lanes, restored messages first")
        try await release("d")
        try await require(["d"], areOccupied: false, "A lane that was never there once it is released")
    }

    func completedAndBlocked() async throws {
        try await admit("a1", "b1", "b2")
        for claim in try await claim(exactly: [["a1"], ["b1", "b2"]], "Two lanes") {
            for entry in claim.entries.prefix(1) {
                try await store.complete(entry, token: claim.token, blockingLane: true)
            }
            try await store.handBack(claim.lane, for: consumer, token: claim.token)
        }
        try await require(["a", "b"], areOccupied: true, "Lanes that were blocked with the end of a message")
        try probe.require(try await follow("a2"), is: ["a2"], "Those that followed into such a lane")
        try await requireNothingDue("Lanes that were blocked with the end of a message are not due")
        try await release("a")
        try await release("b")
        try await claim(exactly: [["a2"], ["b2"]], "The same lanes once released")
    }

    // MARK: Claiming

    func limitsAreKept() async throws {
        for key in ["a", "b", "c", "d", "e"] { try await admit("\(key)1", "\(key)2", "\(key)3") }
        var lanes: [WaitingLane] = []
        for limit in [1, 2, 2] {
            let claimed = try await claim(limit, entriesPerLane: 2)
            try probe.require(claimed.count, is: limit, "How many lanes were claimed of those that were due")
            for claim in claimed {
                try probe.require(
                    claim.entries.map { $0.position.dropFirst() }, is: ["1", "2"], "The first two messages of a lane")
            }
            lanes += claimed.map(\.lane)
        }
        try probe.require(Set(lanes).count, is: 5, "How many different lanes were claimed")
        try await requireNothingDue("Once all lanes are claimed, nothing is due")
    }

    func laneIsInOneClaim() async throws {
        try await admit("a1", "b1")
        let claimed = try await claim(exactly: [["a1"], ["b1"]], "Two lanes")
        try await admit("a2", "c1")
        _ = try await follow("b2")
        try await claim(exactly: [["c1"]], "What came after the claim, in lanes that are not claimed")
        guard let claim = claimed.first(where: { $0.lane == lane("a") }) else { return }
        try await complete(claim.entries, of: claim)
        try await requireNothingDue("A claimed lane whose first messages are completed is still claimed")
        try await store.handBack(claim.lane, for: consumer, token: claim.token)
        try await self.claim(exactly: [["a2"]], "The lane once it is handed back")
    }

    func concurrentClaimsAreDisjoint() async throws {
        let names = (0..<40).map { String(UnicodeScalar(UInt8(65 + $0))) + "1" }
        for name in names { try await admit(name) }
        let claimed = Shared<[WaitingLane]>([])
        try await probe.together(
            "Claims by eight at once",
            (0..<8).map { _ in
                {
                    // A store that hands lanes out twice must not keep the check from ending.
                    for _ in 0..<names.count {
                        let lanes = try await claim(3).map(\.lane)
                        if lanes.isEmpty { return }
                        claimed.withLock { $0 += lanes }
                    }
                }
            })
        let lanes = claimed.withLock { $0 }
        try probe.require(lanes.count, is: Set(lanes).count, "How many lanes were claimed, each counted once")
        try probe.require(lanes.count, is: names.count, "How many lanes were claimed by all together")
    }

    func expiredIsClaimedAgain() async throws {
        try await admit("a1", "a2")
        let first = try await claimOne(["a1", "a2"], lease: probe.patience.span, "The lane")
        try await requireNothingDue("While the lease lasts, nothing is due")
        try await probe.waitForSpan()
        let second = try await claimOne(["a1", "a2"], "The lane once the lease has run out")
        try probe.require(second.token > first.token, "The token of a later claim is not higher.")
        try await complete(second.entries, of: second)
        // Also when the lane was gone in between.
        try await admit("a3")
        let third = try await claimOne(["a3"], "The lane when it is there anew")
        try probe.require(third.token > second.token, "The token of a later claim is not higher.")
    }

    func lostClaimIsAnAttempt() async throws {
        let span = probe.patience.span
        try await admit("a1", "a2")
        _ = try await claimOne(["a1", "a2"], lease: span, "The lane")
        try await probe.waitForSpan()
        let second = try await claimOne(["a1", "a2"], "The lane once the lease has run out")
        try probe.require(second.entries.map(\.attempts), is: [1, 0], "The attempts once a claim has run out")
        try await store.handBack(second.lane, for: consumer, token: second.token)
        let third = try await claimOne(["a1", "a2"], lease: span, "The lane once it is handed back")
        try probe.require(third.entries.map(\.attempts), is: [1, 0], "The attempts once a claim was handed back")
        // The other message is the first now.
        try await complete(third.entries.prefix(1), of: third)
        try await probe.waitForSpan()
        let fourth = try await claimOne(["a2"], "The lane once the lease has run out")
        try probe.require(fourth.entries.map(\.attempts), is: [1], "The attempts of the next message")
        guard let entry = fourth.entries.first else { return }
        try await store.reschedule(entry.tried(attempts: 2, failure: oops), after: .zero, token: fourth.token)
        let fifth = try await claimOne(["a2"], "The lane once its message was put back")
        try probe.require(fifth.entries.map(\.attempts), is: [2], "The attempts as they were put back")
    }

    func lateSettlementIsRefused() async throws {
        try await admit("a1", "a2")
        let late = try await claimOne(["a1", "a2"], lease: probe.patience.span, "The lane")
        guard let entry = late.entries.first else { return }
        try await probe.waitForSpan()
        let current = try await claimOne(["a1", "a2"], "The lane once the lease has run out")
        try await probe.require(.leaseLost, "Completing too late") {
            try await store.complete(entry, token: late.token, blockingLane: true)
        }
        try await probe.require(.leaseLost, "Putting back too late") {
            try await store.reschedule(entry.tried(attempts: 9, failure: oops), after: .zero, token: late.token)
        }
        try await probe.require(.leaseLost, "Handing back too late") {
            try await store.handBack(late.lane, for: consumer, token: late.token)
        }
        try await probe.require(.leaseLost, "Renewing too late") {
            try await store.renew(late.lane, for: consumer, token: late.token, lease: long)
        }
        try await requireNothingDue("What was refused does not free the lane")
        try await store.handBack(current.lane, for: consumer, token: current.token)
        let after = try await claimOne(["a1", "a2"], "The lane, unchanged")
        // The one whose claim ran out.
        try probe.require(after.entries.first?.attempts, is: 1, "The attempts")
        try await complete(after.entries, of: after)
        try await probe.require(.leaseLost, "Completing what is not there any more") {
            try await store.complete(entry, token: late.token, blockingLane: false)
        }
    }

    func renewedIsKept() async throws {
        try await admit("a1")
        let claim = try await claimOne(["a1"], lease: probe.patience.span, "The lane")
        try await store.renew(claim.lane, for: consumer, token: claim.token, lease: long)
        try await probe.waitForSpan()
        try await requireNothingDue("A claim that was renewed is good for longer")
        try await complete(claim.entries, of: claim)
    }

    func rescheduledComesAgainLater() async throws {
        try await admit("a1", "a2", "b1")
        for claim in try await claim(exactly: [["a1", "a2"], ["b1"]], "Two lanes") {
            guard let entry = claim.entries.first else { continue }
            try await store.reschedule(
                entry.tried(attempts: 3, failure: oops), after: probe.patience.span, token: claim.token)
            try await probe.require(.leaseLost, "Settling after the claim was ended by putting back") {
                try await store.complete(entry, token: claim.token, blockingLane: false)
            }
        }
        try await requireNothingDue("Before the delay has passed")
        try await require(["a", "b"], areOccupied: true, "Lanes that wait")
        try await probe.waitForSpan()
        let again = try await claim(exactly: [["a1", "a2"], ["b1"]], "After the delay has passed")
        for entry in again.flatMap(\.entries) where entry.position.hasSuffix("1") {
            try probe.require(entry.attempts, is: 3, "The attempts of '\(entry.position)'")
            try probe.require(entry.failure == oops, "The failure of '\(entry.position)' is lost.")
        }
        for entry in again.flatMap(\.entries) where entry.position == "a2" {
            try probe.require(entry.attempts, is: 0, "The attempts of a follower")
        }
    }

    func handedBackIsDueAtOnce() async throws {
        try await admit("a1", "a2")
        let claim = try await claimOne(["a1", "a2"], "The lane")
        try await store.handBack(claim.lane, for: consumer, token: claim.token)
        let again = try await claimOne(["a1", "a2"], "The lane once it is handed back")
        try probe.require(again.entries.allSatisfy { $0.attempts == 0 }, "Handing back was counted as an attempt.")
        try probe.require(again.token > claim.token, "The token of a later claim is not higher.")
    }

    // MARK: Looking on

    func timeUntilDueIsTold() async throws {
        try probe.require(try await store.timeUntilDue(for: consumer), is: nil, "The time of an empty room")
        try await block("b", followers: ["b1"])
        try probe.require(try await store.timeUntilDue(for: consumer), is: nil, "The time of a blocked lane")
        try await admit("a1", after: long)
        let slack = probe.patience.limit
        func require(_ expected: ClosedRange<Duration>, _ what: String) async throws {
            guard let found = try await store.timeUntilDue(for: consumer), expected.contains(found) else {
                throw probe.failure("\(what): the time until it is due is not told, or not right.")
            }
        }
        try await require((long - slack)...long, "A lane that waits")
        try await admit("c1")
        try await require(.zero ... .zero, "A lane that is due")
        let claim = try await claimOne(["c1"], lease: long / 2, "The lane that is due")
        try await require((long / 2 - slack)...(long / 2), "A lane that is claimed")
        try await complete(claim.entries, of: claim)
        try await require((long - slack)...long, "A lane that waits")
    }

    func statisticsCount() async throws {
        try probe.require(try await store.statistics(for: consumer), is: WaitingRoomStatistics(), "An empty room")
        try await admit("a1", "a2", "b1", after: long)
        try await block("c", followers: ["c1", "c2"])
        try await block("d")
        try await probe.pause()
        var statistics = try await store.statistics(for: consumer)
        guard let oldest = statistics.oldest, oldest > .zero, oldest < probe.patience.limit else {
            throw probe.failure("The age of the oldest message is not told, or not right.")
        }
        statistics.oldest = nil
        try probe.require(statistics, is: WaitingRoomStatistics(waiting: 3, blocked: 2, blockedLanes: 2), "The room")
        let others = try await store.statistics(for: consumer + "2")
        try probe.require(others, is: WaitingRoomStatistics(), "The room of another consumer")
    }
}
