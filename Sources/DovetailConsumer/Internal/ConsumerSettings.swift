// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What the modifiers of a ``Consumer`` set.
struct ConsumerSettings: Sendable {
    var retryPolicy: any RetryPolicy = .immediate(attempts: 3).then(
        .exponential(from: .milliseconds(500), upTo: .seconds(30), attempts: 6)
    )
    var longestRetryAfter: Duration = .seconds(600)
    var classifier = FailureClassifier()
    var sink: (any DeadLetterSink)?
    var parksFollowers = false
    var waitingRoom: WaitingRoom?
    var lease: Duration = .seconds(30)
    var pollInterval: Duration = .seconds(1)
    var concurrency = 16
    var prefetch: Int?
    var middleware: [any ConsumerMiddleware] = []
    var gracePeriod: Duration = .seconds(20)
    var unknownMessages = UnknownMessages.ignore
    var codec: any PayloadCodec = JSONPayloadCodec()
    var runtime: Runtime?

    var effectivePrefetch: Int {
        let (product, overflow) = concurrency.multipliedReportingOverflow(by: 8)
        return max(1, prefetch ?? (overflow ? .max : product))
    }

    /// How many of the first retries have no delay and are made at once.
    var immediateRetries: Int {
        // Bounded: a policy that never waits would otherwise be asked for ever.
        let random = SeededRandom(seed: 0)
        let limit = min(max(1, retryPolicy.attempts) - 1, 1000)
        var count = 0
        while count < limit, retryPolicy.delay(after: count + 1, random: random) <= .zero { count += 1 }
        return count
    }
}
