// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DovetailCore

/// On real threads, so that the thread sanitizer can see what virtual time cannot show.
@Suite("In-memory transport: races", .timeLimit(.minutes(10)))
struct InMemoryRaceTests {
    @Test("Publishers, members that come and go, and cancelled waits lose nothing and do nothing twice")
    func everythingAtOnce() async throws {
        let transport = InMemoryTransport(partitions: 4, capacity: 50)
        // The group is there before the first message.
        await (try transport.join()).close()
        let handled = Shared<[Int: Int]>([:])
        let count = 3000
        try await withThrowingTaskGroup(of: Void.self) { group in
            for publisher in 0..<4 {
                group.addTask {
                    for start in stride(from: publisher, to: count, by: 4 * 5) {
                        let numbers = stride(from: start, to: min(count, start + 20), by: 4)
                        _ = try await transport.publish(
                            numbers.map { numbered($0, key: $0 % 3 == 0 ? nil : PartitionKey("\($0 % 11)")) }
                        )
                    }
                }
            }
            for member in 0..<6 {
                group.addTask {
                    var round = member
                    while handled.value.count < count {
                        try Task.checkCancellation()
                        round += 1
                        let subscription = try await transport.join()
                        for _ in 0..<10 where handled.value.count < count && !Task.isCancelled {
                            // Short waits, so that many of them are cancelled as a message comes.
                            let deliveries = try await subscription.poll(1 + round % 7)
                            let kept = deliveries.dropLast(round % 2)
                            handled.change { handled in
                                for number in Array(kept).numbers { handled[number, default: 0] += 1 }
                            }
                            try await subscription.settle(Array(kept).acknowledged)
                        }
                        if round % 3 != 0 { await subscription.close() }
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(handled.value.count == count)
        #expect(handled.value.values.allSatisfy { $0 == 1 })
        #expect(!transport.hasPendingWork)
        #expect(transport.statistics.retained == 0)
    }

    @Test("A member that is closed while it waits, and while messages come, ends and keeps nothing")
    func closingAgainstWaiting() async throws {
        let transport = InMemoryTransport()
        let survivor = try await transport.join()
        for number in 0..<300 {
            let member = try await transport.join()
            async let waiting = member.next(atMost: 1)
            async let published = transport.publish([numbered(number)])
            async let closed: Void = member.close()
            _ = try await (waiting, published, closed)
            #expect(try await survivor.read(1) == [number])
        }
        #expect(!transport.hasPendingWork)
    }

    @Test("Publishers that are cancelled while they wait for room keep nobody from going on")
    func cancelledPublishers() async throws {
        let transport = InMemoryTransport(capacity: 2)
        let member = try await transport.join()
        let results = Shared((stored: 0, cancelled: 0))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for publisher in 0..<400 {
                group.addTask {
                    await withTaskGroup(of: Void.self) { inner in
                        inner.addTask {
                            let isStored = (try? await transport.publish([numbered(publisher)])) != nil
                            results.change { results in
                                if isStored { results.stored += 1 } else { results.cancelled += 1 }
                            }
                        }
                        guard publisher % 2 == 0 else { return }
                        for _ in 0..<publisher % 7 { await Task.yield() }
                        inner.cancelAll()
                    }
                }
            }
            while results.value.stored + results.value.cancelled < 400 || transport.hasPendingWork {
                try Task.checkCancellation()
                try await member.settle(try await member.poll().acknowledged)
            }
            try await group.waitForAll()
        }
        #expect(results.value.stored >= 200)
        #expect(transport.statistics.acknowledged == results.value.stored)
    }
}
