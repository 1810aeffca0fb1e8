// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailReplica
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ReplicaTests {
    private func consumer(of replica: Replica<InMemoryDatabase, Customer>, in world: TestWorld) -> Consumer {
        // Polling in between would be most of what happens in a month.
        Consumer("orders", on: world.bus) { replica.routes }.deadLettering(to: DeadLetterQueue(in: world.database))
            .waitingRoom(pollingEvery: .seconds(3600))
    }

    @Test func aChangeIsThereAndANewerOneReplacesIt() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            try await world.deliver(CustomerChanged("a", 1))
            try await world.deliver(CustomerChanged("b", 7))
            try await world.untilQuiet()
            #expect(try await replica.names == ["a": "a1", "b": "b7"])
            try await world.deliver(CustomerChanged("a", 2))
            try await world.untilQuiet()
            #expect(try await replica.get("a")?.name == "a2")
            #expect(try await replica.get("c") == nil)
        }
    }

    @Test func repeatsAndOldChangesChangeNothing() async throws {
        let listener = Listener(ReplicaChangeIgnored.self)
        let world = TestWorld(instrument: listener)
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            try await world.deliver(CustomerChanged("a", 5, "right"))
            try await world.untilQuiet()
            // The same version with another content is still a repeat.
            for event in [
                CustomerChanged("a", 5, "wrong"), CustomerChanged("a", 4, "wrong"), CustomerChanged("a", .min, "wrong"),
            ] {
                try await world.deliver(event, times: 2)
            }
            try await world.deliver(CustomerErased("a", 4))
            try await world.untilQuiet()
            let entry = try await world.database.withReadTransaction { tx in try await replica.entry("a", in: tx) }
            #expect(entry?.entity.name == "right")
            #expect(entry?.version == 5)
        }
        #expect(listener.events.all.map(\.version).sorted() == [.min, .min, 4, 4, 4, 5, 5])
    }

    /// Every order of four changes to one entity, each of them once or twice.
    @Test func whateverTheOrderTheNewestWins() async throws {
        let changes: [ReplicaChange<Customer>] = [
            .put(Customer(name: "first"), at: "a", version: 1), .delete("a", version: 2),
            .put(Customer(name: "third"), at: "a", version: 3), .put(Customer(name: "fourth"), at: "a", version: 4),
        ]
        for last in [3, 4] {
            for order in permutations(Array(0..<last) + [0, last - 1]) {
                let database = InMemoryDatabase()
                let replica = customers(in: database)
                for place in order {
                    try await database.withTransaction { tx in
                        try await replica.apply(changes[place], time: .epoch, in: tx)
                    }
                }
                #expect(try await replica.get("a")?.name == (last == 3 ? "third" : "fourth"), "\(order)")
            }
        }
        for order in permutations([0, 1, 0, 1]) {
            let database = InMemoryDatabase()
            let replica = customers(in: database)
            for place in order {
                try await database.withTransaction { tx in
                    try await replica.apply(changes[place], time: .epoch, in: tx)
                }
            }
            #expect(try await replica.get("a") == nil, "\(order)")
            #expect(try await replica.all().isEmpty)
        }
    }

    private func permutations(_ elements: [Int]) -> [[Int]] {
        guard elements.count > 1 else { return [elements] }
        return elements.indices.flatMap { place in
            var rest = elements
            let first = rest.remove(at: place)
            return permutations(rest).map { [first] + $0 }
        }
    }

    @Test(arguments: 0..<25 as Range<UInt64>, [InMemoryDatabase.Concurrency.oneWriter, .readCommitted])
    func underRepeatsLossAndReorderingTheCopyIsThatOfTheOwner(
        seed: UInt64, _ concurrency: InMemoryDatabase.Concurrency
    ) async throws {
        let world = TestWorld(seed: seed)
        world.bus.setFaults(TransportFaults(duplicate: 0.3, delay: 0.2, reorder: 0.4, lose: 0.1))
        let database = InMemoryDatabase(concurrency: concurrency, runtime: world.runtime)
        let replica = customers(in: database)
        let random = SeededRandom(seed: seed)
        var (owned, revisions) = ([String: String](), [String: Int64]())
        var events: [any Event] = []
        for _ in 0..<80 {
            let id = "c\(random.next() % 7)"
            let revision = (revisions[id] ?? 0) + 1
            revisions[id] = revision
            if random.chance(0.25) {
                owned[id] = nil
                events.append(CustomerErased(id, revision))
            } else {
                owned[id] = "\(id)\(revision)"
                events.append(CustomerChanged(id, revision))
            }
        }
        let (published, expected) = (events, owned)
        try await world.run(consumer(of: replica, in: world)) {
            for event in published { try await world.deliver(event, times: 1) }
            try await world.untilQuiet()
            #expect(try await replica.names == expected)
        }
    }

    @Test func anOlderChangeThatOverlapsWithANewerOneDoesNotOverwriteIt() async throws {
        try await Simulation(seed: 1).run {
            let database = InMemoryDatabase(concurrency: .readCommitted)
            let replica = customers(in: database)
            let time = Runtime.current.time
            @Sendable func apply(_ version: Int64, holdingFor span: Duration) async throws {
                try await database.withTransaction { tx in
                    try await replica.apply(
                        .put(Customer(name: "\(version)"), at: "a", version: version), time: .epoch, in: tx)
                    try await time.sleep(for: span)
                }
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await apply(9, holdingFor: .seconds(2)) }
                try await time.sleep(for: .seconds(1))
                // It has read that there is nothing, and waits for the other to commit.
                await #expect {
                    try await apply(5, holdingFor: .zero)
                } throws: { error in
                    (error as? DatabaseError)?.code == .versionConflict
                }
                try await group.waitForAll()
            }
            #expect(try await replica.get("a")?.name == "9")
            try await apply(5, holdingFor: .zero)
            #expect(try await replica.get("a")?.name == "9")
        }
    }

    @Test func itIsReadAndChangedInTheCallersTransaction() async throws {
        struct Refused: Error {}
        let database = InMemoryDatabase()
        let replica = customers(in: database)
        await #expect(throws: Refused.self) {
            try await database.withTransaction { tx in
                let isNew = try await replica.apply(
                    .put(Customer(name: "x"), at: "a", version: 1), time: .epoch, in: tx)
                #expect(isNew)
                #expect(try await replica.get("a", in: tx)?.name == "x")
                throw Refused()
            }
        }
        #expect(try await replica.get("a") == nil)
        #expect(try await replica.age() == nil)
    }

    @Test func aMessageWithoutAMeaningChangesNothing() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            try await world.deliver(CustomerChanged("a", 1, "nobody"))
            try await world.untilQuiet()
            #expect(try await replica.all().isEmpty)
        }
    }

    @Test func pagesAreFullWhateverTombstonesStandBetween() async throws {
        let database = InMemoryDatabase()
        let replica = customers(in: database)
        try await database.withTransaction { tx in
            for number in 10..<40 {
                let key = "\(number)"
                try await replica.apply(.put(Customer(name: key), at: key, version: 1), time: .epoch, in: tx)
                if number % 3 != 0 { try await replica.apply(.delete(key, version: 2), time: .epoch, in: tx) }
            }
            var (keys, last) = ([String](), String?.none)
            while true {
                let page = try await replica.scan(after: last, limit: 4, in: tx)
                keys += page.map(\.key)
                guard page.count == 4 else { break }
                last = page.last?.key
            }
            #expect(keys == ["12", "15", "18", "21", "24", "27", "30", "33", "36", "39"])
            #expect(try await replica.scan(prefix: "2", in: tx).map(\.key) == ["21", "24", "27"])
            #expect(try await replica.scan(limit: 0, in: tx).isEmpty)
        }
        #expect(try await replica.all(prefix: "3").map(\.key) == ["30", "33", "36", "39"])
    }

    // MARK: Age and lag

    private func deliver(_ event: CustomerChanged, at time: Timestamp, in world: TestWorld) async throws {
        var envelope = try await EnvelopeFactory(source: "/customers", runtime: world.runtime).envelope(
            for: event, options: PublishOptions())
        envelope.attributes.time = time
        try await world.deliver(envelope)
    }

    @Test func ageAndLagAreMeasuredByTheClockOfTheOwner() async throws {
        let listener = Listener(ReplicaChanged.self)
        let world = TestWorld(instrument: listener)
        let replica = customers(in: world.database)
        try await world.run(consumer(of: replica, in: world)) {
            #expect(try await replica.age() == nil)
            let now = world.time.now()
            try await deliver(CustomerChanged("a", 1), at: now - .seconds(30), in: world)
            try await world.untilQuiet()
            #expect(try await replica.age() == .seconds(30))
            try await world.advance(by: .seconds(10))
            #expect(try await replica.age() == .seconds(40))
            // An older change of something else is news, and makes the copy no older.
            try await deliver(CustomerChanged("b", 1), at: now - .seconds(50), in: world)
            try await world.untilQuiet()
            #expect(try await replica.age() == .seconds(40))
            let entry = try await world.database.withReadTransaction { tx in try await replica.entry("b", in: tx) }
            #expect(entry?.time == now - .seconds(50))
        }
        #expect(listener.events.all.map(\.lag) == [.seconds(30), .seconds(60)])
    }

    @Test func manyChangesInASecondShareOneNoteOfTheNewest() async throws {
        let database = InMemoryDatabase()
        let world = TestWorld()
        try await world.run {
            let replica = customers(in: database)
            for number in 0..<100 {
                try await database.withTransaction { tx in
                    try await replica.apply(
                        .put(Customer(name: "x"), at: "\(number)", version: 1), time: world.time.now(), in: tx)
                }
                try await world.advance(by: .milliseconds(50))
            }
            let notes = database.table("replica.customers.progress", of: [String: Timestamp].self)
            let version = try await database.withReadTransaction { tx in
                try await notes.entry("newest", in: tx)?.version
            }
            #expect(version == 5)
        }
    }

    // MARK: Tombstones

    @Test func aTombstoneHoldsOffOldChangesUntilItIsSwept() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        let (day, change) = (Duration.seconds(86_400), CustomerChanged("a", 1))
        try await world.run(consumer(of: replica, in: world), ReplicaSweeper(replica)) {
            try await world.deliver(CustomerErased("a", 2))
            try await world.deliver(CustomerErased("b", 2))
            try await world.advance(by: day * 29)
            try await world.deliver(change)
            try await world.advance(by: .seconds(1))
            #expect(try await replica.get("a") == nil)
            // Came back, and so is no longer a tombstone.
            try await world.deliver(CustomerChanged("b", 3))
            try await world.advance(by: day * 2)
            let rows = try await world.database.table("replica.customers.1", of: AnyRow.self).all()
            #expect(rows.map(\.key) == ["b"])
            #expect(try await replica.get("b")?.name == "b3")
            #expect(try await world.database.table("replica.customers.1.tombstones", of: AnyRow.self).all().isEmpty)
        }
    }

    @Test func aSweepIsBoundedAndTakesTheOldest() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        try await world.run {
            for number in 0..<7 {
                try await world.database.withTransaction { tx in
                    try await replica.apply(.delete("\(9 - number)", version: 1), time: .epoch, in: tx)
                }
                try await world.advance(by: .seconds(10))
            }
            #expect(try await replica.sweep(olderThan: .seconds(25), limit: 3) == 3)
            let left = try await world.database.table("replica.customers.1", of: AnyRow.self).all().map(\.key)
            #expect(left == ["3", "4", "5", "6"])
            #expect(try await replica.sweep(olderThan: .seconds(25), limit: 3) == 2)
            #expect(try await replica.sweep(olderThan: .seconds(25), limit: 3) == 0)
        }
    }

    @Test func aSecondDeletionKeepsTheTombstoneAsLongAsIt() async throws {
        let world = TestWorld()
        let replica = customers(in: world.database)
        try await world.run {
            for version in 1...2 as ClosedRange<Int64> {
                try await world.database.withTransaction { tx in
                    try await replica.apply(.delete("a", version: version), time: .epoch, in: tx)
                }
                try await world.advance(by: .seconds(60))
            }
            #expect(try await replica.sweep(olderThan: .seconds(90), limit: 10) == 1)
            let isNew = try await world.database.withTransaction { tx in
                try await replica.apply(.put(Customer(name: "old"), at: "a", version: 1), time: .epoch, in: tx)
            }
            #expect(!isNew)
        }
    }
}

/// A row of any table.
struct AnyRow: Codable, Sendable {
    init(from decoder: any Decoder) throws {}
    func encode(to encoder: any Encoder) throws {}
}
