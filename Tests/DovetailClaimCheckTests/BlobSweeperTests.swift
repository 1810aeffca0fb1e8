// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct BlobSweeperTests {
    private let day: Duration = .seconds(24 * 60 * 60)

    @Test func aBlobIsKeptAsLongAsItsMessageMayComeAndNotForEver() async throws {
        let world = TestWorld()
        let store = InMemoryBlobStore("memory")
        try await world.run(BlobSweeper(store)) {
            _ = try await ClaimCheck(in: store).store([1])
            try await world.advance(by: self.day * 29)
            #expect(store.count == 1)
            _ = try await ClaimCheck(in: store).store([2])
            try await world.advance(by: self.day * 2)
            #expect(store.count == 1)
            try await world.advance(by: self.day * 29)
            #expect(store.count == 0)
        }
        #expect(BlobRetention.standard > BlobRetention.longestRedrive)
    }

    @Test func aRetentionShorterThanTheLongestRedriveIsRefused() async throws {
        let store = InMemoryBlobStore("memory")
        for sweeper in [
            BlobSweeper(store, retention: day * 7 - .seconds(1)), BlobSweeper(store, longestRedrive: day * 31),
        ] {
            await #expect {
                try await sweeper.run()
            } throws: { error in
                (error as? ClaimCheckError)?.code == .retentionTooShort
            }
        }
    }

    @Test func sweepsAreToldOfAndGoInBatches() async throws {
        let swept = Log<Int>()
        struct Listener: Instrument {
            let swept: Log<Int>
            func record<E: InstrumentEvent>(_ event: E) {
                if let event = event as? StoreSwept, event.store == "blobs.memory" { swept.add(event.count) }
            }
        }
        let world = TestWorld(instrument: Listener(swept: swept))
        let store = InMemoryBlobStore("memory")
        let sweeper = BlobSweeper(
            store, retention: .seconds(60), longestRedrive: .zero, period: .seconds(10), batchSize: 3)
        try await world.run(sweeper) {
            for number in 0..<10 as Range<UInt8> { _ = try await ClaimCheck(in: store).store([number]) }
            try await world.advance(by: .seconds(80))
        }
        #expect(store.count == 0)
        #expect(swept.all.reduce(0, +) == 10)
    }
}
