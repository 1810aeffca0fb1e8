// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailDeadLetters
import DovetailTesting
import Foundation
import Testing

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

@Suite(.timeLimit(.minutes(10)))
struct FailureClassifierTests {
    private struct Plain: Error {}

    @Test func theFirstRuleWithAnOpinionDecidesClassAndReason() {
        let classifier = FailureClassifier { $0 is Plain ? .permanent : nil }
            .adding { $0 is Plain ? .transient("never asked") : nil }
            .adding { $0 is Declined ? .transient("asked") : nil }
        #expect(classifier.judge(Plain()) == .permanent(.businessRule))
        #expect(classifier.judge(Declined()) == .transient("asked"))
        #expect(classifier.judge(Down()) == .transient(.timeoutOrNetwork))
        #expect(classifier.judge(Broken.thing) == .transient(.poison))
        #expect(classifier.classify(Plain()) == .permanent)
    }

    @Test func eachKindOfFailureHasItsReason() {
        let classifier = FailureClassifier().knowingNetworkErrors()
        let context = DecodingError.Context(codingPath: [], debugDescription: "")
        #expect(classifier.judge(DecodingError.dataCorrupted(context)) == .permanent(.schemaMismatch))
        #expect(classifier.judge(MessageError(.invalidEnvelope, "")) == .permanent(.schemaMismatch))
        #expect(classifier.judge(TransportError(.messageTooLarge, "")) == .permanent(.tooLarge))
        #expect(classifier.judge(TransportError(.timedOut, "")) == .transient(.timeoutOrNetwork))
        #expect(classifier.judge(DatabaseError(.unavailable, "")) == .transient(.timeoutOrNetwork))
        #expect(classifier.judge(URLError(.timedOut)) == .transient(.timeoutOrNetwork))
        #expect(classifier.judge(URLError(.badURL)) == .permanent(.businessRule))
        #expect(classifier.judge(POSIXError(.ECONNREFUSED)) == .transient(.timeoutOrNetwork))
        #expect(classifier.judge(POSIXError(.ENOENT)) == .transient(.poison))
        #expect(FailureClassifier().judge(URLError(.timedOut)) == .transient(.poison))
    }

    @Test func aConsumerKeepsMessagesUnderTheReasonOfItsClassifier() async throws {
        let world = TestWorld()
        let classifier = FailureClassifier().adding { error in
            if case Broken.other(let number) = error {
                number < 2 ? .permanent("fraud") : .transient("ledger")
            } else {
                nil
            }
        }
        let consumer = Consumer("payments", on: world.bus) {
            On(OrderPlaced.self) { order, _ in throw Broken.other(order.number) }
        }
        .retrying(.immediate(attempts: 4))
        .classifying(by: classifier)
        .deadLettering(to: world.letters)
        try await world.run(consumer) {
            try await world.deliver(OrderPlaced(number: 1))
            try await world.untilQuiet()
            try await world.deliver(OrderPlaced(number: 2))
            try await world.untilQuiet()
            let letters = try await world.letters.list()
            #expect(letters.map(\.reason) == ["fraud", "ledger"])
            #expect(letters.map(\.attempts) == [1, 4])
        }
    }
}
