// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailReplica
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ReplicaSnapshotTests {
    typealias Item = EntitySnapshot<Customer>.Item

    private func item(_ key: String, _ version: Int64) -> Item {
        Item(Customer(name: "\(key)\(version)"), at: key, version: version)
    }

    private func consumer(of replica: Replica<InMemoryDatabase, Customer>, in world: TestWorld) -> Consumer {
        Consumer("orders", on: world.bus) { replica.routes }.deadLettering(to: DeadLetterQueue(in: world.database))
    }

    /// The pages of a snapshot that is taken now.
    private func pages(_ pages: [[Item]]) -> [EntitySnapshot<Customer>] {
        var pager = SnapshotPager(of: Customer.self)
        return pages.enumerated().map { pager.next($0.element, isLast: $0.offset == pages.count - 1) }
    }

    @Test func aSnapshotFillsAnEmptyReplica() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            for page in pages([[item("a", 3), item("b", 1)], [item("c", 9)], []]) { try await world.deliver(page) }
            try await world.untilQuiet()
            #expect(try await replica.names == ["a": "a3", "b": "b1", "c": "c9"])
            // From its position on, events count; before it they are in it.
            try await world.deliver(CustomerChanged("a", 2))
            try await world.deliver(CustomerChanged("b", 2))
            try await world.untilQuiet()
            #expect(try await replica.names == ["a": "a3", "b": "b2", "c": "c9"])
        }
    }

    @Test func whatNoPageHasIsDeletedOnceAllPagesAreThere() async throws {
        let listener = Listener(ReplicaSnapshotTaken.self)
        let world = TestWorld(instrument: listener)
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            for id in ["a", "b", "gone"] { try await world.deliver(CustomerChanged(id, 5)) }
            try await world.advance(by: .seconds(3600))
            // The deletion of this one was never heard of.
            let pages = pages([[item("a", 5)], [item("b", 6)], [item("c", 1)]])
            try await world.deliver(pages[2])
            try await world.deliver(pages[0], times: 3)
            try await world.untilQuiet()
            #expect(try await replica.names == ["a": "a5", "b": "b5", "c": "c1", "gone": "gone5"])
            try await world.deliver(pages[1])
            try await world.untilQuiet()
            #expect(try await replica.names == ["a": "a5", "b": "b6", "c": "c1"])
            // What is old does not bring it back; what is new does.
            try await world.deliver(CustomerChanged("gone", 5))
            try await world.untilQuiet()
            #expect(try await replica.get("gone") == nil)
            try await world.deliver(CustomerChanged("gone", 6))
            try await world.deliver(pages[1])
            try await world.untilQuiet()
            #expect(try await replica.get("gone")?.name == "gone6")
        }
        #expect(listener.events.all.map(\.deletedCount).reduce(0, +) == 1)
    }

    @Test func whatChangedAroundTheSnapshotIsKept() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            try await world.deliver(CustomerChanged("old", 1))
            try await world.advance(by: .seconds(100))
            // Its transaction had not committed when the snapshot was read.
            try await world.deliver(CustomerChanged("just before", 1))
            try await world.advance(by: .seconds(50))
            let pages = pages([[item("a", 1)]])
            try await world.deliver(CustomerChanged("just after", 1))
            try await world.advance(by: .seconds(10))
            for page in pages { try await world.deliver(page) }
            try await world.untilQuiet()
            #expect(try await Set(replica.names.keys) == ["a", "just before", "just after"])
        }
    }

    @Test func aSnapshotThatIsCompletedLateDoesNotUndoALaterOne() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            try await world.deliver(CustomerChanged("a", 1))
            try await world.deliver(CustomerChanged("b", 1))
            try await world.advance(by: .seconds(100))
            let first = pages([[item("a", 1)], [item("b", 1)]])
            try await world.deliver(first[0])
            try await world.advance(by: .seconds(100))
            for page in pages([[item("a", 1), item("b", 1)]]) { try await world.deliver(page) }
            try await world.untilQuiet()
            try await world.deliver(first[1])
            try await world.untilQuiet()
            #expect(try await replica.names == ["a": "a1", "b": "b1"])
        }
    }

    @Test func aPageOutOfItsOrderGoesToTheDeadLetters() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        let page = #"{"snapshot":"s","position":"2026-01-01T00:00:00Z","page":PAGE,"pageCount":COUNT,"items":[]}"#
        try await world.run(consumer(of: replica, in: world)) {
            for (place, (number, count)) in [("-1", "null"), ("3", "3"), ("0", "0"), ("0", "-1")].enumerated() {
                let text = page.replacing("PAGE", with: number).replacing("COUNT", with: count)
                let attributes = EnvelopeAttributes(
                    id: MessageID("\(place)"), source: "/test", type: Customer.snapshotType)
                try await world.deliver(Envelope(attributes, payload: Bytes(text.utf8)))
            }
            try await world.untilQuiet()
            #expect(try await world.deadLetters().map(\.reason) == Array(repeating: .schemaMismatch, count: 4))
        }
    }

    @Test func whatASnapshotDeletedLeavesATombstoneThatIsSwept() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            try await world.deliver(CustomerChanged("gone", 1))
            try await world.advance(by: .seconds(100))
            for page in pages([[item("a", 1)]]) { try await world.deliver(page) }
            try await world.untilQuiet()
            let rows = world.database.table("replica.customers.1", of: AnyRow.self)
            #expect(try await rows.all().map(\.key) == ["a", "gone"])
            try await world.advance(by: .seconds(50))
            // The tombstone, and which pages were taken.
            #expect(try await replica.sweep(olderThan: .seconds(50), limit: 10) == 2)
            #expect(try await rows.all().map(\.key) == ["a"])
        }
    }

    @Test func whichPagesWereTakenIsForgottenInTime() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            for page in pages([[item("a", 1)]]) { try await world.deliver(page) }
            try await world.untilQuiet()
            let taken = world.database.table("replica.customers.snapshots", of: AnyRow.self)
            #expect(try await taken.all().count == 1)
            #expect(try await replica.sweep(olderThan: .seconds(100), limit: 10) == 0)
            try await world.advance(by: .seconds(50))
            #expect(try await replica.sweep(olderThan: .seconds(100), limit: 10) == 1)
            #expect(try await taken.all().isEmpty)
        }
    }
}
