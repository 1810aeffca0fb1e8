// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(1)))
struct OutboxTests {
    @Test func committedEventsArePublished() async throws {
        let world = TestWorld()
        let outbox = Outbox(in: world.database)
        try await world.run(OutboxRelay(from: world.database, to: world.bus)) {
            let id = try await world.database.withTransaction { tx in
                try await outbox.publish(OrderPlaced("a", 1), in: tx)
            }
            try await world.untilQuiet()
            #expect(world.published(OrderPlaced.self) == [OrderPlaced("a", 1)])
            #expect(world.published().map(\.id) == [id])
        }
        #expect(world.time.monotonic().nanoseconds == 0, "A wake-up, not a poll, has it published.")
    }

    @Test func rolledBackIsNeverPublished() async throws {
        let world = TestWorld()
        let outbox = Outbox(in: world.database)
        try await world.run(OutboxRelay(from: world.database, to: world.bus)) {
            await #expect(throws: Broken.thing) {
                try await world.database.withTransaction { tx in
                    try await outbox.publish(OrderPlaced("a", 1), in: tx)
                    throw Broken.thing
                }
            }
            try await world.advance(by: .seconds(10))
            #expect(world.published().isEmpty)
        }
    }
}
