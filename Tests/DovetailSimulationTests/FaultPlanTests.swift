// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Testing

@Suite(.timeLimit(.minutes(10))) struct FaultPlanTests {
    /// Writes a row now and then, and keeps a record of what came of each attempt.
    private struct Writer: Service {
        let node: Node
        let outcomes: Box<[String]>
        var pause = Duration.milliseconds(100)

        func run() async throws {
            let rows = node.database.table("rows", of: Int.self)
            let time = Runtime.current.time
            for number in 1... {
                let start = time.monotonic()
                do {
                    try await node.database.withTransaction { tx in try await rows.put(number, at: "\(number)", in: tx)
                    }
                    outcomes.value.append("done")
                } catch let error as DatabaseError {
                    let isThere = try? await node.database.withReadTransaction { tx in
                        try await rows.get("\(number)", in: tx) != nil
                    }
                    outcomes.value.append("\(error.code) \(isThere ?? false ? "done" : "not done")")
                }
                if time.monotonic() - start > .zero { outcomes.value.append("slow") }
                try await time.sleep(for: pause)
            }
        }
    }

    private func outcomes(_ storage: StorageFaults, seed: UInt64 = 1) async throws -> Set<String> {
        let world = World(seed: seed)
        world.faults = FaultPlan(storage: storage)
        let outcomes = Box<[String]>([])
        world.add("writer") { node in Writer(node: node, outcomes: outcomes) }
        try await world.run { try await world.advance(by: .seconds(60)) }
        return Set(outcomes.value)
    }

    @Test("A database refuses effects, loses answers of those it did, and takes its time, as the plan says")
    func storage() async throws {
        #expect(try await outcomes(.none) == ["done"])
        #expect(try await outcomes(StorageFaults(refused: 0.2)) == ["done", "unavailable not done"])
        #expect(try await outcomes(StorageFaults(unanswered: 0.2)) == ["done", "unavailable done"])
        #expect(try await outcomes(StorageFaults(conflicts: 0.2)) == ["done"])
        #expect(try await outcomes(StorageFaults(conflicts: 1)) == ["serializationFailure not done"])
        #expect(try await outcomes(StorageFaults(slow: 0.2)) == ["done", "slow"])
    }

    @Test("What the test itself does is spared by a plan, for the services nothing works")
    func sparesTheTest() async throws {
        let world = World(seed: 2)
        world.faults = FaultPlan(
            transport: TransportFaults(publishFails: 1), storage: StorageFaults(refused: 1, unanswered: 1, conflicts: 1)
        )
        let outcomes = Box<[String]>([])
        world.add("writer") { node in Writer(node: node, outcomes: outcomes) }
        try await world.run {
            try await world.database().withTransaction { tx in
                try await world.database().table("rows", of: Int.self).put(1, at: "1", in: tx)
            }
            try await Publisher(on: world.bus).publish(OrderPlaced(orderID: "1"))
            try await world.advance(by: .seconds(5))
        }
        #expect(!outcomes.value.contains("done"))
    }

    @Test("Faults are named, and a run with some of them left out has the others at the same places")
    func named() async throws {
        func run(_ only: Set<Fault>?) async throws -> [Fault] {
            let world = World(seed: 3)
            world.faults = FaultPlan(storage: StorageFaults(refused: 0.1, unanswered: 0.1, slow: 0.1))
            if let only { world.allowOnly(only) }
            let outcomes = Box<[String]>([])
            world.add("writer") { node in Writer(node: node, outcomes: outcomes) }
            try await world.run { try await world.advance(by: .seconds(60)) }
            return world.injectedFaults
        }
        let all = try await run(nil)
        #expect(all.count > 20)
        #expect(Set(all).count == all.count)
        #expect(try await run(Set(all)) == all)
        #expect(try await run([]).isEmpty)
        // Another one before them does not move them.
        let slow = all.filter { $0.kind == "slow" }
        #expect(try await run(Set(slow)) == slow)
        for fault in all { #expect(Fault(fault.description) == fault) }
        #expect(Fault.list(all.map(\.description).joined(separator: ",")) == Set(all))
        #expect(Fault("no fault") == nil)
        #expect(Fault("crash:payments") == nil)
        #expect(Fault("crash:payments#0") == nil)
    }

    @Test("Payments are down from minute three to minute nine, and nothing is lost")
    func scripted() async throws {
        let world = World(seed: 4)
        world.faults = FaultPlan(script: [.down("payments", from: .seconds(180), to: .seconds(540))])
        world.add("payments") { node in PaymentService(database: node.database, bus: node.bus) }
        try await world.run {
            for minute in 0..<12 {
                try await world.deliver(OrderPlaced(orderID: "\(minute)"))
                try await world.advance(by: .seconds(60))
                let charged = try await world.database("payments").chargeCount()
                #expect(charged == ((3..<8).contains(minute) ? 3 : minute + 1), "minute \(minute)")
            }
        }
        #expect(world.incarnations(of: "payments") == 2)
    }

    /// Receives, and keeps a record of when it could not.
    private struct Reader: Service {
        let node: Node
        let troubles: Box<[Int64]>

        func run() async throws {
            let time = Runtime.current.time
            while true {
                do {
                    let subscription = try await node.bus.subscribe(to: [OrderPlaced.topic], as: "readers")
                    try await subscription.settle([])
                    await subscription.close()
                } catch let error as TransportError where error.code == .unavailable {
                    troubles.value.append(time.monotonic().nanoseconds / 1_000_000_000)
                }
                try await time.sleep(for: .seconds(1))
            }
        }
    }

    @Test("The bus is down for everybody, or for one service, as the script says")
    func outages() async throws {
        let world = World(seed: 5)
        world.faults = FaultPlan(script: [
            .brokerDown(from: .milliseconds(9_500), to: .milliseconds(12_500)),
            .cutOff("two", from: .milliseconds(19_500), to: .milliseconds(21_500)),
        ])
        let (one, two) = (Box<[Int64]>([]), Box<[Int64]>([]))
        world.add("one") { node in Reader(node: node, troubles: one) }
        world.add("two") { node in Reader(node: node, troubles: two) }
        try await world.run { try await world.advance(by: .seconds(30)) }
        #expect(one.value == [10, 11, 12])
        #expect(two.value == [10, 11, 12, 20, 21])
    }

    /// Says each second how late it is, hears all that is said, and keeps a record of it.
    private struct Talker: Service {
        let node: Node
        let heard: Box<[String]>
        var unreached = Box<[Int64]>([])

        func run() async throws {
            try await withThrowingDiscardingTaskGroup { group in
                group.addTask { try await talk() }
                group.addTask { try await listen() }
            }
        }

        private func talk() async throws {
            for second in 1...10 as ClosedRange<Int64> {
                try await Runtime.current.time.sleep(for: .seconds(1))
                let options = PublishOptions(id: MessageID("\(node.service) \(second)"))
                try await Publisher(on: node.bus).publish(OrderPlaced(orderID: node.service), options: options)
                if !node.reaches("far") { unreached.value.append(second) }
            }
        }

        private func listen() async throws {
            let subscription = try await node.bus.subscribe(
                to: [OrderPlaced.topic], as: ConsumerGroup(node.service))
            while true {
                for delivery in try await subscription.next(atMost: 10) {
                    let second = Double(Runtime.current.time.monotonic().nanoseconds) / 1e9
                    heard.value.append("\(delivery.envelope?.id.rawValue ?? "") at \(second)")
                    try await subscription.settle([.acknowledge(delivery.id)])
                }
            }
        }
    }

    @Test("Two services do not hear of each other for a while, all others do, and then it comes in order")
    func partitions() async throws {
        let world = World(seed: 12)
        world.faults = FaultPlan(script: [.parted("here", "far", from: .milliseconds(3_500), to: .milliseconds(6_500))])
        let (here, near, far) = (Box<[String]>([]), Box<[String]>([]), Box<[String]>([]))
        let unreached = Box<[Int64]>([])
        world.add("here") { node in Talker(node: node, heard: here, unreached: unreached) }
        world.add("near") { node in Talker(node: node, heard: near) }
        world.add("far") { node in Talker(node: node, heard: far) }
        try await world.run { try await world.advance(by: .seconds(12)) }
        func heard(_ box: Box<[String]>, from service: String) -> [String] {
            box.value.filter { $0.hasPrefix(service + " ") }
        }
        func said(by service: String, heldUp: ClosedRange<Int>?) -> [String] {
            (1...10).map { "\(service) \($0) at \(heldUp?.contains($0) == true ? 6.5 : Double($0))" }
        }
        for service in ["here", "near", "far"] {
            #expect(heard(near, from: service) == said(by: service, heldUp: nil))
            #expect(heard(here, from: service) == said(by: service, heldUp: service == "far" ? 4...6 : nil))
            #expect(heard(far, from: service) == said(by: service, heldUp: service == "here" ? 4...6 : nil))
        }
        #expect(unreached.value == [4, 5, 6])
    }

    @Test("Healing lets through what a partition holds up")
    func healedPartition() async throws {
        let world = World(seed: 13)
        world.faults = FaultPlan(script: [.parted("here", "far", from: .zero, to: .seconds(1_000_000))])
        let far = Box<[String]>([])
        world.add("here") { node in Talker(node: node, heard: Box([])) }
        world.add("far") { node in Talker(node: node, heard: far) }
        try await world.run {
            try await world.advance(by: .milliseconds(5_500))
            #expect(!far.value.contains { $0.hasPrefix("here") })
            world.heal()
            try await world.advance(by: .seconds(1))
            #expect(far.value.filter { $0.hasPrefix("here") }.count == 6)
        }
    }

    @Test("Clocks are set forth and back, and what is measured goes on evenly")
    func clocks() async throws {
        let world = World(seed: 6)
        world.faults = FaultPlan(script: [
            .clockJump(by: .seconds(3600), at: .seconds(10)), .clockJump(by: .seconds(-7200), at: .seconds(20)),
        ])
        try await world.run {
            let start = world.time.now()
            try await world.advance(by: .seconds(15))
            #expect(world.time.now() - start == .seconds(3615))
            try await world.advance(by: .seconds(15))
            #expect(world.time.now() - start == .seconds(-3570))
            #expect(world.time.monotonic().nanoseconds == 30_000_000_000)
        }
    }

    @Test("After healing nothing more goes wrong, and services that are down are started")
    func healing() async throws {
        let world = World(seed: 7)
        world.faults = FaultPlan(
            transport: TransportFaults(lose: 1), storage: StorageFaults(refused: 1),
            script: [.down("payments", from: .seconds(1), to: .seconds(1_000_000))])
        world.add("payments") { node in PaymentService(database: node.database, bus: node.bus) }
        try await world.run {
            try await world.advance(by: .seconds(2))
            try await world.deliver(OrderPlaced(orderID: "1"))
            world.heal()
            try await world.untilQuiet()
            #expect(try await world.database("payments").chargeCount() == 1)
            #expect(world.time.monotonic().nanoseconds < 10_000_000_000)
        }
    }

    @Test("With a bad day's rates every kind of fault happens within a few seeds")
    func gameDay() async throws {
        var kinds: Set<String> = []
        for seed in 0..<40 as Range<UInt64> {
            let world = World(seed: seed)
            world.faults = .gameDay
            for name in ["payments", "more-payments"] {
                world.add(name) { node in ResilientPayments(node: node) }
            }
            try await world.run {
                for number in 0..<20 {
                    try await world.deliver(OrderPlaced(orderID: "\(number)"))
                    try await world.deliver(OrderPaid(orderID: "\(number)"))
                    try await world.advance(by: .seconds(10))
                }
            }
            kinds.formUnion(world.injectedFaults.map(\.kind))
        }
        #expect(Set(Reach.faultKinds).subtracting(kinds) == ["blob-missing"])
    }

    /// Goes on whatever happens.
    private struct ResilientPayments: Service {
        let node: Node

        func run() async throws {
            while !Task.isCancelled {
                do {
                    let subscription = try await node.bus.subscribe(
                        to: [OrderPlaced.topic, OrderPaid.topic], as: "payments")
                    while true {
                        for delivery in try await subscription.next(atMost: 10) {
                            try await node.database("payments").withTransaction { _ in }
                            _ = try await node.bus.publish([])
                            try await Publisher(on: node.bus).publish(Ticked())
                            try await subscription.settle([.acknowledge(delivery.id)])
                        }
                    }
                } catch is SimulatedCrash {
                    return
                } catch is CancellationError {
                    return
                } catch {
                    try await Runtime.current.time.sleep(for: .milliseconds(100))
                }
            }
        }
    }
}

private struct Ticked: Event {
    static let type: MessageType = "test.ticked"
}
