// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite
struct RetryPolicyTests {
    let random = SeededRandom(seed: 1)

    @Test func exponentialWaitsDoubleUpToTheCap() {
        let policy = ExponentialBackoff(from: .milliseconds(100), upTo: .seconds(1), jitter: .none, attempts: 9)
        let delays = (1...6).map { policy.delay(after: $0, random: random) }
        #expect(delays == [100, 200, 400, 800, 1000, 1000].map { .milliseconds($0) })
        #expect(policy.attempts == 9)
    }

    @Test(arguments: [0.1, 0.5, 1])
    func jitterStaysWithinItsPart(fraction: Double) {
        let policy = ExponentialBackoff(from: .seconds(1), jitter: Jitter(fraction: fraction), attempts: 3)
        let delays = (0..<1000).map { _ in policy.delay(after: 1, random: random).inSeconds }
        #expect(delays.allSatisfy { $0 > 0 && $0 <= 1 && $0 >= 1 - fraction - 1e-6 })
        #expect((delays.max() ?? 0) - (delays.min() ?? 0) > fraction * 0.9)
    }

    @Test(arguments: [
        ExponentialBackoff(from: .seconds(Int64.max), factor: 1e300, upTo: .seconds(Int64.max), attempts: .max),
        ExponentialBackoff(from: .zero, attempts: 5),
        ExponentialBackoff(from: .seconds(-5), factor: .nan, upTo: .seconds(-1), attempts: -3),
        ExponentialBackoff(from: .nanoseconds(1), factor: 1, jitter: Jitter(fraction: .nan), attempts: 2),
    ])
    func oddValuesDoNotTrap(policy: ExponentialBackoff) {
        for attempt in [1, 2, 1000, Int.max, 0, -1] {
            #expect(policy.delay(after: attempt, random: random) >= .zero)
        }
    }

    @Test func aWaitThatIsNotZeroStaysAboveZero() {
        let policy = ExponentialBackoff(from: .nanoseconds(1), jitter: .full, attempts: 3)
        #expect((0..<100).allSatisfy { _ in policy.delay(after: 1, random: random) > .zero })
    }

    @Test func policiesInARowShareOneAttempt() {
        let policy: RetrySequence = ConstantRetry.immediate(attempts: 3).then(.constant(.seconds(1), attempts: 2))
            .then(.constant(.seconds(9), attempts: 3))
        #expect(policy.attempts == 6)
        let delays = (1..<6).map { policy.delay(after: $0, random: random) }
        #expect(delays == [.zero, .zero, .seconds(1), .seconds(9), .seconds(9)])
        #expect(ConstantRetry.none.then(.immediate(attempts: .max)).attempts == .max)
        #expect(ConstantRetry.immediate(attempts: .max).then(.immediate(attempts: 5)).attempts == .max)
    }
}

@Suite
struct FailureClassifierTests {
    struct Odd: Error {}
    struct Own: ClassifiedError { let failureClass: FailureClass }

    @Test func whatIsNotKnownIsTransient() {
        #expect(FailureClassifier().classify(Odd()) == .transient)
    }

    @Test func whatHasTheWrongFormIsPermanent() {
        let context = DecodingError.Context(codingPath: [], debugDescription: "")
        #expect(FailureClassifier().classify(DecodingError.dataCorrupted(context)) == .permanent)
        #expect(FailureClassifier().classify(MessageError(.undecodablePayload, "")) == .permanent)
        #expect(FailureClassifier().classify(TransportError(.messageTooLarge, "")) == .permanent)
        #expect(FailureClassifier().classify(TransportError(.unavailable, "")) == .transient)
        #expect(FailureClassifier().classify(DatabaseError(.nestedTransaction, "")) == .permanent)
        #expect(FailureClassifier().classify(DatabaseError(.versionConflict, "")) == .transient)
    }

    @Test func anErrorSpeaksForItselfAndTheProgramsRuleOverrulesIt() {
        #expect(FailureClassifier().classify(Own(failureClass: .permanent)) == .permanent)
        let rule = FailureClassifier { $0 is Own ? .transient : nil }
        #expect(rule.classify(Own(failureClass: .permanent)) == .transient)
        #expect(rule.classify(MessageError(.invalidType, "")) == .permanent)
    }

    @Test func aCancellationCountsOnlyInACancelledTask() async {
        #expect(FailureClassifier().classify(CancellationError()) == .transient)
        let inCancelled = await withTaskGroup(of: FailureClass.self) { group in
            group.addTask { FailureClassifier { _ in .permanent }.classify(CancellationError()) }
            group.cancelAll()
            return await group.next()
        }
        _ = inCancelled
        await withTaskGroup(of: Void.self) { group in
            group.cancelAll()
            group.addTask { #expect(FailureClassifier { _ in .permanent }.classify(CancellationError()) == .cancelled) }
        }
    }
}
