// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension TransportProbe {
    /// An envelope that every transport has to refuse: it has no identifier.
    private func invalid(key: PartitionKey?) -> Envelope<Bytes> {
        var envelope = message(-1, key: key)
        envelope.attributes.id = ""
        return envelope
    }

    func oneResultForEachEnvelope() async throws {
        let subscription = try await subscribe()
        let messages = messages(5)
        let results = try await transport.publish([messages[0], invalid(key: nil)] + messages[1...])
        try require(results.count == 6, "6 envelopes had \(results.count) results.")
        for (index, result) in results.enumerated() {
            if index == 1 {
                try require(
                    result.error?.code == .invalidMessage,
                    "An envelope without an identifier had the result \(result), not a failure as an invalid message."
                )
            } else if let error = result.error {
                throw failure("The envelope at index \(index) is valid, but failed: \(error)")
            }
        }
        try await collect(messages, from: subscription)
        await subscription.close()
    }

    func followersOfFailedAreNotAttempted() async throws {
        let subscription = try await subscribe()
        // Not every transport takes what nobody reads.
        let elsewhere = try await subscribe([topic("other")])
        let before = message(0, key: "a")
        let follower = message(1, key: "a")
        let others = [message(2, key: "b"), message(3), message(4, key: "a", in: topic("other"))]
        let results = try await transport.publish([before, invalid(key: "a"), follower] + others)
        try require(results.count == 6, "6 envelopes had \(results.count) results.")
        try require(
            results[2].error?.code == .notAttempted,
            "An envelope that follows a failed one of its key had the result \(results[2]), not that it was not attempted."
        )
        for index in [0, 3, 4, 5] {
            if let error = results[index].error {
                throw failure(
                    "The envelope at index \(index) follows no failed one of its topic and key, but failed: \(error)")
            }
        }
        try await collect([before] + others.prefix(2), from: subscription)
        try await expectSilence(from: subscription, "What follows a failed envelope of its key must not be sent")
        // Another call starts afresh.
        try await publish([follower])
        try await collect([follower], from: subscription)
        await elsewhere.close()
        await subscription.close()
    }

    func tooLargeIsRefused() async throws {
        let subscription = try await subscribe()
        let capabilities = transport.capabilities
        var refused: [(envelope: Envelope<Bytes>, code: TransportError.Code)] = []
        if let limit = capabilities.mostHeaderBytes {
            var envelope = message(100)
            envelope.attributes.headers["padding"] = String(repeating: "x", count: limit + 1)
            refused.append((envelope, .headersTooLarge))
        }
        if let limit = capabilities.mostMessageBytes {
            var envelope = message(101)
            envelope.payload = Bytes(repeating: 7, count: limit + 1)
            refused.append((envelope, .messageTooLarge))
        }
        let neighbours = messages(refused.count + 1)
        var all: [Envelope<Bytes>] = [neighbours[0]]
        for (index, item) in refused.enumerated() { all += [item.envelope, neighbours[index + 1]] }
        let results = try await transport.publish(all)
        try require(results.count == all.count, "\(all.count) envelopes had \(results.count) results.")
        for (index, result) in results.enumerated() {
            let expected = index % 2 == 1 ? refused[index / 2].code : nil
            try require(
                result.error?.code == expected,
                "The envelope at index \(index) was to \(expected.map { "fail as \($0)" } ?? "succeed"), but: \(result)"
            )
        }
        try await collect(neighbours, from: subscription)
        await subscription.close()
    }

    func emptyCallsDoNothing() async throws {
        let subscription = try await subscribe()
        let results = try await transport.publish([])
        try require(results.isEmpty, "No envelopes had \(results.count) results.")
        try await subscription.settle([])
        try await expectSilence(from: subscription, "Nothing was published")
        try await publish([message(0)])
        try await collect([message(0)], from: subscription)
        await subscription.close()
    }
}
