// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import DovetailTesting
import Testing

@testable import ActivityFeed

/// A feed of ActivityFeed under the ready checks, and without its protection.
@Suite(.timeLimit(.minutes(10))) struct ActivityFeedCheckTests {
    private static func feed(isProtected: Bool = true) -> ServiceScenario {
        ServiceScenario(
            "feed",
            delivering: PostPublished(number: 1, postID: "post-1", author: "Ada", title: "Thought"),
            CommentAdded(number: 2, postID: "post-1", author: "Alan", ordinal: 1, text: "Remark"),
            ReactionGiven(number: 3, postID: "post-1", person: "Grace", emoji: "heart")
        ) { node in
            Feed(person: "Alice", database: node.database, isProtected: isProtected) { _ in }
                .consumer(on: node.bus, workers: 4)
        }
    }

    @Test("Repeats change nothing") func duplicates() async throws {
        try await DuplicateDeliveryCheck().run(Self.feed())
    }

    @Test("Crashes lose nothing") func crashes() async throws { try await CrashPointCheck().run(Self.feed()) }

    @Test("Poison is kept") func poison() async throws { try await PoisonCheck().run(Self.feed()) }

    @Test("Without idempotency an entry comes again, and the checks say so")
    func withoutIdempotency() async throws {
        let repeated = await #expect(throws: CheckFailure.self) {
            try await DuplicateDeliveryCheck().verify(Self.feed(isProtected: false))
        }
        #expect(repeated?.message.contains("entries/00000001/‹id›: 1 row → ") == true)
        let crashed = await #expect(throws: CheckFailure.self) {
            try await CrashPointCheck().verify(Self.feed(isProtected: false))
        }
        #expect(crashed?.message.contains("‹id›: 1 row → 2 rows") == true)
    }
}
