// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailKafka

@Suite
struct PublishPlanTests {
    private let failure = PublishResult.failed(TransportError(.unavailable, "down"))

    private func codes(_ plan: PublishPlan) -> [String]? {
        plan.results.map { results in results.map { $0.error?.code.description ?? "published" } }
    }

    @Test("Only the first of each topic and key is sent at once, and all without a key")
    func firstOfEachLane() {
        let plan = PublishPlan([
            envelope("0", key: "a"), envelope("1", key: "a"), envelope("2"), envelope("3", key: "b"), envelope("4"),
            envelope("5", key: "a", topic: "u"), envelope("6", key: "a"),
        ])
        #expect(plan.first == [0, 2, 3, 4, 5])
        #expect(plan.remaining == 7)
    }

    @Test("The next of a key is sent once the one before it is stored")
    func nextFollows() {
        let envelopes = [envelope("0", key: "a"), envelope("1", key: "b"), envelope("2", key: "a")]
        var plan = PublishPlan(envelopes)
        #expect(plan.finish(1, .published, of: envelopes) == nil)
        #expect(plan.finish(0, .published, of: envelopes) == 2)
        #expect(plan.results == nil)
        #expect(plan.finish(2, .published, of: envelopes) == nil)
        #expect(codes(plan) == ["published", "published", "published"])
    }

    @Test("What follows a failed one of its key is not attempted; others are")
    func followersAreNotAttempted() {
        let envelopes = [
            envelope("0", key: "a"), envelope("1", key: "a"), envelope("2", key: "b"), envelope("3", key: "a"),
            envelope("4", key: "a", topic: "u"), envelope("5"),
        ]
        var plan = PublishPlan(envelopes)
        #expect(plan.finish(0, failure, of: envelopes) == nil)
        #expect(plan.remaining == 3)
        for index in [2, 4, 5] { #expect(plan.finish(index, .published, of: envelopes) == nil) }
        #expect(
            codes(plan) == ["unavailable", "notAttempted", "published", "notAttempted", "published", "published"])
        #expect(plan.results?[3].error?.message.contains("'a'") == true)
    }

    @Test("One in the middle that is known to fail lets those before it be sent, and none behind it")
    func knownFailureInTheMiddle() {
        let envelopes = (0..<4).map { envelope("\($0)", key: "a") }
        var plan = PublishPlan(envelopes)
        #expect(plan.finish(2, failure, of: envelopes) == nil)
        #expect(plan.remaining == 2)
        #expect(plan.finish(0, .published, of: envelopes) == 1)
        #expect(plan.finish(1, .published, of: envelopes) == nil)
        #expect(codes(plan) == ["published", "published", "unavailable", "notAttempted"])
    }

    @Test("A failure before one that is known to fail keeps that one's own reason")
    func failureBeforeKnownFailure() {
        let envelopes = (0..<4).map { envelope("\($0)", key: "a") }
        var plan = PublishPlan(envelopes)
        _ = plan.finish(2, .failed(TransportError(.messageTooLarge, "large")), of: envelopes)
        _ = plan.finish(0, failure, of: envelopes)
        #expect(codes(plan) == ["unavailable", "notAttempted", "messageTooLarge", "notAttempted"])
    }

    @Test("A result that comes twice counts once")
    func resultsCountOnce() {
        let envelopes = [envelope("0", key: "a"), envelope("1", key: "a")]
        var plan = PublishPlan(envelopes)
        #expect(plan.finish(0, .published, of: envelopes) == 1)
        #expect(plan.finish(0, failure, of: envelopes) == nil)
        #expect(plan.remaining == 1)
        #expect(plan.isWaiting(1))
    }

    @Test("Whatever fails, what is stored of each key is a beginning of it", arguments: 0..<100)
    func storedIsAPrefix(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed)).generator
        let envelopes = (0..<30).map { number in
            envelope("\(number)", key: ["a", "b", "c"].randomElement(using: &random).map { PartitionKey($0) })
        }
        var plan = PublishPlan(envelopes)
        for index in envelopes.indices where Int.random(in: 0..<15, using: &random) == 0 {
            _ = plan.finish(index, failure, of: envelopes)
        }
        var underWay = plan.first.filter { plan.isWaiting($0) }
        var sent = Set(underWay)
        while let position = underWay.indices.randomElement(using: &random) {
            let index = underWay.remove(at: position)
            let fails = Int.random(in: 0..<10, using: &random) == 0
            if let next = plan.finish(index, fails ? failure : .published, of: envelopes) {
                #expect(sent.insert(next).inserted)
                underWay.append(next)
            }
        }
        let results = plan.results ?? []
        #expect(results.count == envelopes.count)
        for key in ["a", "b", "c"] as [PartitionKey] {
            let own = envelopes.indices.filter { envelopes[$0].partitionKey == key }
            let stored = own.prefix { results[$0].error == nil }
            #expect(own.dropFirst(stored.count).allSatisfy { results[$0].error != nil })
            #expect(own.dropFirst(stored.count + 1).allSatisfy { !sent.contains($0) })
        }
    }
}
