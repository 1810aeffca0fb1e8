// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore
import DovetailTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ClaimCheckTransportTests {
    private let store = FaultyStore()
    private let bus = InMemoryTransport()

    private func transport<Carrier: Transport>(
        over carrier: Carrier, threshold: Int = 1000
    ) -> ClaimCheckTransport<Carrier> {
        ClaimCheckTransport(carrier, with: ClaimCheck(in: store), threshold: threshold, mostPayloadBytes: 5000)
    }

    private func receive(from transport: some Transport) async throws -> [Delivery] {
        let subscription = try await transport.subscribe(to: ["test"], as: "readers")
        defer { Task { await subscription.close() } }
        return try await subscription.next(atMost: 100)
    }

    // MARK: Both sides

    @Test func whatIsAboveTheThresholdTravelsAsAToken() async throws {
        let transport = transport(over: bus)
        let messages = [envelope("small", bytes: 1000), envelope("large", bytes: 1001), envelope("empty", bytes: 0)]
        for result in try await transport.publish(messages) { #expect(result.error == nil) }
        #expect(store.count == 1)

        let travelled = try await receive(from: bus).compactMap(\.envelope)
        #expect(travelled.map(\.payload.count) == [1000, 0, 0])
        #expect(travelled[0] == messages[0])
        #expect(travelled[2] == messages[2])
        let reference = try #require(travelled[1].attributes.extensions["dataref"])
        let token = try #require(ClaimToken(reference.text))
        #expect(token.store == "memory")
        #expect(token.length == 1001)
        #expect(token.digest == SHA256.hash(messages[1].payload))
        #expect(token.contentType == "text/csv")
        // Everything else is as it was, and it is restored to what was published.
        var expected = messages[1].attributes
        expected.extensions["dataref"] = reference
        #expect(travelled[1].attributes == expected)
        for (place, envelope) in travelled.enumerated() {
            #expect(try await transport.restore(envelope) == messages[place])
        }
    }

    @Test func aSubscriptionHandsOutWholeMessages() async throws {
        let transport = transport(over: bus)
        let messages = (0..<20).map { envelope("\($0)", bytes: $0 * 100, key: "k") }
        _ = try await transport.publish(messages)
        let deliveries = try await receive(from: transport)
        #expect(deliveries.compactMap(\.envelope) == messages)
    }

    @Test func aMessageNeedsNoMoreThanHalfOfWhatTheCarrierTakes() async throws {
        let bus = InMemoryTransport(mostMessageBytes: 800)
        let transport = transport(over: bus)
        let results = try await transport.publish([envelope("a", bytes: 400), envelope("b", bytes: 401)])
        #expect(results.allSatisfy { $0.error == nil })
        #expect(store.count == 1)
        #expect(transport.capabilities.mostMessageBytes == 5000)
    }

    @Test func aReferenceThatIsThereAlreadyIsLeftAlone() async throws {
        let transport = transport(over: bus)
        var foreign = envelope("foreign", bytes: 2000)
        foreign.attributes.extensions["dataref"] = "https://example.com/7"
        // As a redrive publishes it: the message that travelled.
        var token = envelope("redriven", bytes: 0)
        token.attributes.extensions["dataref"] = .string(
            try await ClaimCheck(in: store).store(sample(3000)).description)
        _ = try await transport.publish([foreign, token])
        #expect(store.count == 1)
        let found = try await receive(from: transport).compactMap(\.envelope)
        #expect(found[0] == foreign)
        #expect(found[1].payload == sample(3000))
    }

    @Test func aPayloadThatReadersWouldRefuseIsNotPublished() async throws {
        let transport = transport(over: bus)
        let results = try await transport.publish([
            envelope("a", bytes: 5001, key: "k"), envelope("b", bytes: 10, key: "k"), envelope("c", bytes: 5000),
        ])
        #expect(results.map(\.error?.code) == [.messageTooLarge, .notAttempted, nil])
        #expect(store.count == 1)
    }

    // MARK: Failures when publishing

    static let certain: [TransportError.Code] = [
        .messageTooLarge, .headersTooLarge, .invalidMessage, .notAttempted, .unknownTopic, .refused,
    ]

    @Test(arguments: certain)
    func aMessageThatIsCertainlyNotThereTakesItsBlobWithIt(code: TransportError.Code) async throws {
        let carrier = ScriptedCarrier { _ in TransportError(code, "As the test asks.") }
        let results = try await transport(over: carrier).publish([envelope("a", bytes: 2000)])
        #expect(results.map(\.error?.code) == [code])
        #expect(store.count == 0)
    }

    @Test(arguments: [TransportError.Code.unavailable, .timedOut, .closed])
    func aMessageThatMayBeThereKeepsItsBlob(code: TransportError.Code) async throws {
        let carrier = ScriptedCarrier { _ in TransportError(code, "As the test asks.") }
        let results = try await transport(over: carrier).publish([envelope("a", bytes: 2000)])
        #expect(results.map(\.error?.code) == [code])
        #expect(store.count == 1)
    }

    @Test func aCarrierThatThrowsMayHaveTheMessages() async throws {
        let carrier = ScriptedCarrier { _ in throw TransportError(.closed, "As the test asks.") }
        await #expect(throws: TransportError.self) {
            _ = try await transport(over: carrier).publish([envelope("a", bytes: 2000)])
        }
        #expect(store.count == 1)
    }

    @Test func anAttemptThatFailsForCertainDoesNotTakeTheBlobOfAnEarlierOne() async throws {
        // First it is stored and said to have failed, then it is refused.
        let attempts = Mutex(0)
        let carrier = ScriptedCarrier { _ in
            let attempt = attempts.withLock { attempts in
                attempts += 1
                return attempts
            }
            return TransportError(attempt == 1 ? .timedOut : .refused, "As the test asks.")
        }
        let transport = transport(over: carrier)
        let message = envelope("a", bytes: 2000)
        _ = try await transport.publish([message])
        _ = try await transport.publish([message])
        #expect(store.count == 1)
        #expect(try await transport.restore(carrier.published.all[0]) == message)
        await #expect(throws: ClaimCheckError.self) { _ = try await transport.restore(carrier.published.all[1]) }
    }

    @Test func aPayloadThatCannotBeStoredFailsItsMessageAndThoseBehindItOfItsKey() async throws {
        store.set { $0.failures = 1 }
        let transport = ClaimCheckTransport(bus, with: ClaimCheck(in: store), threshold: 1000, concurrency: 1)
        let results = try await transport.publish([
            envelope("before", bytes: 10, key: "a"), envelope("fails", bytes: 2000, key: "a"),
            envelope("behind", bytes: 10, key: "a"), envelope("large behind", bytes: 2000, key: "a"),
            envelope("other key", bytes: 2000, key: "b"), envelope("no key", bytes: 10),
        ])
        #expect(results.map(\.error?.code) == [nil, .unavailable, .notAttempted, .notAttempted, nil, nil])
        #expect((results[1].error?.cause as? ClaimCheckError)?.code == .unavailable)
        // The one behind it was stored for nothing.
        #expect(store.count == 1)
        let published = try await receive(from: bus).compactMap(\.envelope?.id)
        #expect(Set(published) == ["before", "other key", "no key"])
    }

    @Test func ofABatchOnlyTheBlobsOfThoseThatFailAreDeleted() async throws {
        let carrier = ScriptedCarrier { envelope in
            envelope.id == "b" ? TransportError(.refused, "As the test asks.") : nil
        }
        let transport = transport(over: carrier)
        let messages = ["a", "b", "c"].map { envelope($0, bytes: 2000) }
        let results = try await transport.publish(messages)
        #expect(results.map(\.error?.code) == [nil, .refused, nil])
        #expect(store.count == 2)
        for place in [0, 2] { #expect(try await transport.restore(carrier.published.all[place]) == messages[place]) }
    }

    @Test func aBlobThatCannotBeDeletedIsToldOfAndLeftToTheSweep() async throws {
        let events = Log<PayloadDiscarded>()
        struct Listener: Instrument {
            let events: Log<PayloadDiscarded>
            func record<E: InstrumentEvent>(_ event: E) {
                if let event = event as? PayloadDiscarded { events.add(event) }
            }
        }
        store.set { $0.deletesFail = true }
        let carrier = ScriptedCarrier { _ in TransportError(.refused, "As the test asks.") }
        let transport = ClaimCheckTransport(
            carrier, with: ClaimCheck(in: store), threshold: 1000,
            runtime: Runtime(instrument: Listener(events: events)))
        let results = try await transport.publish([envelope("a", bytes: 2000)])
        #expect(results.map(\.error?.code) == [.refused])
        #expect(events.all.map { $0.error?.contains("unavailable") } == [true])
    }

    @Test func aCallThatIsCancelledWhileItStoresPublishesNothingAndLeavesNothing() async throws {
        let (store, bus) = (store, bus)
        try await Simulation(seed: 1).run {
            /// Takes an hour for each blob.
            struct Slow: BlobStore {
                let inner: FaultyStore
                var name: BlobStoreName { inner.name }
                func write<Chunks: AsyncSequence>(_ chunks: Chunks) async throws -> BlobKey
                where Chunks.Element == Bytes {
                    let key = try await inner.write(chunks)
                    // Too late to stop: the blob is there.
                    try? await Runtime.current.time.sleep(for: .seconds(3600))
                    return key
                }
                func read(_ key: BlobKey) async throws -> BlobChunks { try await inner.read(key) }
                func delete(_ key: BlobKey) async throws -> Bool { try await inner.delete(key) }
                func sweep(olderThan age: Duration, limit: Int) async throws -> Int { 0 }
            }
            let transport = ClaimCheckTransport(bus, with: ClaimCheck(in: Slow(inner: store)), threshold: 1000)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    _ = try await transport.publish([envelope("a", bytes: 2000), envelope("b", bytes: 3000)])
                }
                try await Runtime.current.time.sleep(for: .seconds(1))
                #expect(store.count == 2)
                group.cancelAll()
                await #expect(throws: CancellationError.self) { try await group.waitForAll() }
            }
        }
        #expect(store.count == 0)
        #expect(bus.statistics.published == 0)
    }

    @Test(arguments: [1, 3, 100])
    func noMorePayloadsThanAllowedAreOnTheirWayAtOnce(limit: Int) async throws {
        final class Counting: BlobStore {
            let inner = InMemoryBlobStore("memory")
            let running = Mutex((now: 0, most: 0))
            var name: BlobStoreName { inner.name }

            private func during<Value>(_ body: () async throws -> Value) async throws -> Value {
                running.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
                defer { running.withLock { $0.now -= 1 } }
                try await Runtime.current.time.sleep(for: .seconds(1))
                return try await body()
            }

            func write<Chunks: AsyncSequence>(_ chunks: Chunks) async throws -> BlobKey where Chunks.Element == Bytes {
                try await during { try await inner.write(chunks) }
            }
            func read(_ key: BlobKey) async throws -> BlobChunks { try await during { try await inner.read(key) } }
            func delete(_ key: BlobKey) async throws -> Bool { try await inner.delete(key) }
            func sweep(olderThan age: Duration, limit: Int) async throws -> Int { 0 }
        }
        try await Simulation(seed: 1).run {
            let store = Counting()
            let transport = ClaimCheckTransport(
                InMemoryTransport(), with: ClaimCheck(in: store), threshold: 10, concurrency: limit)
            let messages = (0..<10).map { envelope("\($0)", bytes: 100 + $0) }
            #expect(try await transport.publish(messages).allSatisfy { $0.error == nil })
            #expect(store.running.withLock { $0.most } == min(limit, 10))
            store.running.withLock { $0.most = 0 }
            let subscription = try await transport.subscribe(to: ["test"], as: "readers")
            #expect(try await Set(subscription.next(atMost: 10).compactMap(\.envelope)) == Set(messages))
            #expect(store.running.withLock { $0.most } == min(limit, 10))
            await subscription.close()
        }
    }

    @Test func aReaderThatIsCancelledWhileAPayloadComesGivesTheMessageBack() async throws {
        let (store, bus) = (store, bus)
        try await Simulation(seed: 1).run {
            struct Stuck: BlobStore {
                let inner: FaultyStore
                var name: BlobStoreName { inner.name }
                func write<Chunks: AsyncSequence>(_ chunks: Chunks) async throws -> BlobKey
                where Chunks.Element == Bytes { try await inner.write(chunks) }
                func read(_ key: BlobKey) async throws -> BlobChunks {
                    try await Runtime.current.time.sleep(for: .seconds(3600))
                    return try await inner.read(key)
                }
                func delete(_ key: BlobKey) async throws -> Bool { try await inner.delete(key) }
                func sweep(olderThan age: Duration, limit: Int) async throws -> Int { 0 }
            }
            let transport = ClaimCheckTransport(bus, with: ClaimCheck(in: Stuck(inner: store)), threshold: 10)
            let message = envelope("a", bytes: 100)
            _ = try await transport.publish([message])
            let subscription = try await transport.subscribe(to: ["test"], as: "readers")
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try await subscription.next(atMost: 1) }
                try await Runtime.current.time.sleep(for: .seconds(1))
                group.cancelAll()
                await #expect(throws: CancellationError.self) { try await group.waitForAll() }
            }
            let again = try await subscription.next(atMost: 1)
            #expect(again.compactMap(\.envelope) == [message])
            await subscription.close()
        }
    }

    // MARK: Failures when reading

    @Test func aSubscriptionHandsOutWhatCannotBeRestoredAsItTravelled() async throws {
        let transport = transport(over: bus)
        let messages = [envelope("a", bytes: 2000), envelope("b", bytes: 10)]
        _ = try await transport.publish(messages)
        store.set { faults in faults.tamper = { Bytes($0.reversed()) } }
        let deliveries = try await receive(from: transport)
        #expect(deliveries.count == 2)
        #expect(deliveries[1].envelope == messages[1])
        guard case .undecodable(let bytes, let headers, let error) = deliveries[0].content else {
            Issue.record("An altered payload was handed out.")
            return
        }
        #expect(bytes.isEmpty)
        #expect((error.cause as? ClaimCheckError)?.code == .altered)
        let travelled = try CloudEventsBinaryFormat(.kafka).decode(
            headers: Array(headers), payload: bytes, topic: "test")
        store.set { $0.tamper = nil }
        #expect(try await transport.restore(travelled) == messages[0])
    }

    @Test func whileTheStoreIsOutOfReachNothingIsHandedOut() async throws {
        let transport = transport(over: bus)
        let messages = (0..<4).map { envelope("\($0)", bytes: $0 == 2 ? 2000 : 10, key: "k") }
        _ = try await transport.publish(messages)
        store.set { $0.failures = 1 }
        let subscription = try await transport.subscribe(to: ["test"], as: "readers")
        await #expect {
            _ = try await subscription.next(atMost: 10)
        } throws: { error in
            (error as? TransportError)?.code == .unavailable
        }
        // All of them come again, in order, and as if they had not been tried.
        var again: [Delivery] = []
        while again.count < 4 {
            let next = try await subscription.next(atMost: 10)
            again += next
            try await subscription.settle(next.map { .acknowledge($0.id) })
        }
        #expect(again.compactMap(\.envelope) == messages)
        #expect(again.map(\.attempt) == [1, 1, 1, 1])
        await subscription.close()
    }

    @Test(arguments: [
        "claimcheck:", "claimcheck:memory/../../etc/passwd?length=1&sha256=00", "claimcheck:memory/x?length=-1",
    ])
    func aReferenceThatOnlyLooksLikeATokenIsAFailureByName(reference: String) async throws {
        var message = envelope("a", bytes: 0)
        message.attributes.extensions["dataref"] = .string(reference)
        await #expect {
            _ = try await transport(over: bus).restore(message)
        } throws: { error in
            (error as? ClaimCheckError)?.code == .invalidToken
        }
    }

    @Test func theBacklogIsThatOfTheCarrier() async throws {
        let transport = transport(over: bus)
        _ = try await transport.publish([envelope("a", bytes: 2000), envelope("b", bytes: 10)])
        #expect(try await transport.backlog(of: "readers", on: ["test"]) == 2)
    }
}
