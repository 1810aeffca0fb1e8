// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailReplica
import DovetailTesting
import Synchronization
import Testing

@Suite(.timeLimit(.minutes(10)))
struct ReplicaRebuildTests {
    private func simulated(
        seed: UInt64 = 1, _ body: @escaping @Sendable (InMemoryTransport, InMemoryDatabase) async throws -> Void
    ) async throws {
        try await Simulation(seed: seed).run {
            try await body(InMemoryTransport(retention: .all), InMemoryDatabase())
        }
    }

    /// Runs the consumer that keeps a replica beside a body.
    private func keeping(
        _ replica: Replica<InMemoryDatabase, Customer>, on bus: InMemoryTransport,
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await Consumer("orders", on: bus) { replica.routes }.run() }
            try await body()
            group.cancelAll()
        }
    }

    private func settle() async throws { try await Runtime.current.time.sleep(for: .seconds(5)) }

    @Test func itIsBuiltAnewFromWhatTheTransportHas() async throws {
        try await simulated { bus, database in
            let publisher = Publisher(on: bus)
            let replica = customers(in: database)
            try await keeping(replica, on: bus) {
                for number in 1...50 as ClosedRange<Int64> { try await publisher.publish(CustomerChanged("a", number)) }
                try await publisher.publish(CustomerChanged("b", 1))
                try await publisher.publish(CustomerErased("b", 2))
                try await settle()
            }
            #expect(try await replica.names == ["a": "a50"])
            // The versions are the same, and what is kept of an entity is another.
            let shouting = Replica("customers", of: Customer.self, in: database)
                .on(CustomerChanged.self) { event, _ in
                    .put(Customer(name: event.customer.name.uppercased()), at: event.id, version: event.revision)
                }
                .on(CustomerErased.self) { event, _ in .delete(event.id, version: event.revision) }
            try await shouting.rebuild(from: bus)
            #expect(try await shouting.names == ["a": "A50"])
            // Nothing is left of the old copy.
            #expect(try await database.table("replica.customers.1", of: AnyRow.self).all().isEmpty)
            #expect(try await database.table("replica.customers.1.tombstones", of: AnyRow.self).all().isEmpty)
        }
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func untilTheEndTheOldCopyIsReadAndWhatComesMeanwhileIsInBoth(seed: UInt64) async throws {
        try await simulated(seed: seed) { bus, database in
            let publisher = Publisher(on: bus)
            let replica = customers(in: database)
            let early = Log<Bool>()
            try await keeping(replica, on: bus) {
                for number in 0..<100 { try await publisher.publish(CustomerChanged("c\(number)", 1)) }
                try await settle()
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await replica.rebuild(from: bus) }
                    group.addTask {
                        for number in 0..<100 {
                            early.add(try await replica.all().count >= 100)
                            try await publisher.publish(CustomerChanged("c\(number)", 2))
                            try await publisher.publish(CustomerChanged("d\(number)", 1))
                        }
                    }
                    try await group.waitForAll()
                }
                try await settle()
            }
            #expect(early.all.allSatisfy { $0 })
            let names = try await replica.names
            #expect(names.count == 200)
            for number in 0..<100 { #expect(names["c\(number)"] == "c\(number)2") }
        }
    }

    @Test func aSnapshotIsPartOfTheHistory() async throws {
        try await simulated { bus, database in
            let publisher = Publisher(on: bus)
            let replica = customers(in: database)
            try await publisher.publish(CustomerChanged("gone", 1))
            try await Runtime.current.time.sleep(for: .seconds(3600))
            var pager = SnapshotPager(of: Customer.self)
            let item = EntitySnapshot.Item(Customer(name: "a4"), at: "a", version: 4)
            try await publisher.publish(pager.next([item], isLast: true))
            try await replica.rebuild(from: bus)
            #expect(try await replica.names == ["a": "a4"])
        }
    }

    @Test func anEmptyTransportMakesAnEmptyCopy() async throws {
        try await simulated { bus, database in
            let replica = customers(in: database)
            try await database.withTransaction { tx in
                try await replica.apply(.put(Customer(name: "x"), at: "a", version: 1), time: .epoch, in: tx)
            }
            try await replica.rebuild(from: bus)
            #expect(try await replica.all().isEmpty)
        }
    }

    @Test func aMessageThatCannotBeAppliedLeavesTheOldCopyInPlace() async throws {
        try await simulated { bus, database in
            let replica = customers(in: database)
            try await database.withTransaction { tx in
                try await replica.apply(.put(Customer(name: "x"), at: "a", version: 1), time: .epoch, in: tx)
            }
            try await Publisher(on: bus).publish(CustomerChanged("b", 1))
            let wrong = Envelope(
                EnvelopeAttributes(id: "1", source: "/test", type: CustomerChanged.type), payload: Bytes("{}".utf8))
            _ = try await bus.publish([wrong])
            await #expect {
                try await replica.rebuild(from: bus)
            } throws: { error in
                (error as? ReplicaError)?.code == .rebuildFailed
            }
            #expect(try await replica.names == ["a": "x"])
            #expect(try await database.table("replica.customers.2", of: AnyRow.self).all().isEmpty)
            // A change is no longer applied twice.
            try await database.withTransaction { tx in
                try await replica.apply(.put(Customer(name: "y"), at: "a", version: 2), time: .epoch, in: tx)
            }
            #expect(try await database.table("replica.customers.2", of: AnyRow.self).all().isEmpty)
        }
    }

    @Test func aRebuildThatWasCancelledLeavesTheOldCopyInPlace() async throws {
        try await simulated { bus, database in
            let replica = customers(in: database)
            try await database.withTransaction { tx in
                try await replica.apply(.put(Customer(name: "x"), at: "a", version: 1), time: .epoch, in: tx)
            }
            // It waits for this one.
            let blocked = replica.on(Blocking.self) { _, _ in throw Blocked() }
            try await Publisher(on: bus).publish(Blocking())
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await #expect(throws: CancellationError.self) { try await blocked.rebuild(from: bus) } }
                try? await Runtime.current.time.sleep(for: .milliseconds(500))
                group.cancelAll()
            }
            #expect(try await replica.names == ["a": "x"])
            try await database.withTransaction { tx in
                try await replica.apply(.put(Customer(name: "y"), at: "a", version: 2), time: .epoch, in: tx)
            }
            #expect(try await database.table("replica.customers.2", of: AnyRow.self).all().isEmpty)
        }
    }

    @Test func ofTwoRebuildsTheLaterOneCounts() async throws {
        try await simulated { bus, database in
            let replica = customers(in: database)
            for number in 0..<20 { try await Publisher(on: bus).publish(CustomerChanged("c\(number)", 1)) }
            let outcomes = await withTaskGroup(of: ReplicaError.Code?.self) { group in
                for delay in [0, 60] {
                    group.addTask {
                        try? await Runtime.current.time.sleep(for: .milliseconds(delay))
                        do { try await replica.rebuild(from: Slow(bus: bus)) } catch {
                            return (error as? ReplicaError)?.code
                        }
                        return nil
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            #expect(outcomes.contains(nil))
            #expect(outcomes.contains(.superseded))
            #expect(try await replica.all().count == 20)
        }
    }

    @Test func whatARebuildLeftThatEndedInTheMiddleIsRemoved() async throws {
        try await simulated { bus, database in
            let replica = customers(in: database)
            let state = database.table("replica.customers", of: [String: Int].self)
            let left = database.table("replica.customers.2", of: [String: String].self)
            try await database.withTransaction { tx in
                try await state.put(["current": 1, "building": 2], at: "generations", in: tx)
                for number in 0..<1200 { try await left.put(["left": "behind"], at: "\(number)", in: tx) }
            }
            try await Publisher(on: bus).publish(CustomerChanged("a", 1))
            try await replica.rebuild(from: bus)
            #expect(try await replica.names == ["a": "a1"])
            #expect(try await left.all().isEmpty)
        }
    }

    /// Holds the rebuild up when it has read everything, until a change was applied that the transport has not seen.
    @Test func whatIsAppliedBeforeTheNewCopyIsInPlaceIsInIt() async throws {
        try await simulated { bus, database in
            let replica = customers(in: database)
            try await Publisher(on: bus).publish(CustomerChanged("a", 1))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await replica.rebuild(from: Slow(bus: bus)) }
                try await Runtime.current.time.sleep(for: .milliseconds(100))
                try await database.withTransaction { tx in
                    try await replica.apply(.put(Customer(name: "b"), at: "b", version: 1), time: .epoch, in: tx)
                }
                try await group.waitForAll()
            }
            #expect(try await replica.names == ["a": "a1", "b": "b"])
        }
    }

    @Test func aTransportThatForgetsIsRefused() async throws {
        let replica = customers(in: InMemoryDatabase())
        await #expect {
            try await replica.rebuild(from: InMemoryTransport())
        } throws: { error in
            (error as? ReplicaError)?.code == .cannotReplay
        }
        await #expect {
            try await Replica("none", of: Customer.self, in: InMemoryDatabase()).rebuild(
                from: InMemoryTransport(retention: .all))
        } throws: { error in
            (error as? ReplicaError)?.code == .noFeeds
        }
    }
}

private struct Blocking: Event {
    static let type: MessageType = "shop.blocking"
}

private struct Blocked: ClassifiedError {
    var failureClass: FailureClass { .transient }
}

/// Says for a while that there is more to come.
private final class Slow: BacklogReportingTransport {
    let bus: InMemoryTransport
    private let answers = Mutex(0)

    init(bus: InMemoryTransport) {
        self.bus = bus
    }

    var capabilities: TransportCapabilities { bus.capabilities }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] { try await bus.publish(envelopes) }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
        try await bus.subscribe(to: topics, as: group)
    }

    func backlog(of group: ConsumerGroup, on topics: [Topic]) async throws -> Int {
        let isEarly = answers.withLock { answers in
            answers += 1
            return answers < 5
        }
        return isEarly ? 1 : bus.backlog(of: group, on: topics)
    }
}
