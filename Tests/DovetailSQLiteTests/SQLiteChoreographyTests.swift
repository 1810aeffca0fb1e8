// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailConsumer
    import DovetailCore
    import DovetailIdempotency
    import DovetailOutbox
    import DovetailSQLite
    import DovetailSaga
    import DovetailTesting
    import Testing

    private struct Ordered: Event {
        static let type: MessageType = "shop.order.ordered"
        let orderID: String
        var partitionKey: PartitionKey? { PartitionKey(orderID) }
    }

    private struct Charged: Event {
        static let type: MessageType = "shop.payment.charged"
        let orderID: String
        var partitionKey: PartitionKey? { PartitionKey(orderID) }
    }

    private struct Expired: Event {
        static let type: MessageType = "shop.order.expired"
        let orderID: String
        var partitionKey: PartitionKey? { PartitionKey(orderID) }
    }

    private struct Refunded: Event {
        static let type: MessageType = "shop.payment.refunded"
        let orderID: String
    }

    private let flow = Choreography("shop") {
        Hop("orders").emits(Ordered.self, needsUndo: false)
        Hop("payments", on: Ordered.self).emits(Charged.self).within(.milliseconds(300))
        Hop("payments", on: Expired.self).undoes(Charged.self).emits(Refunded.self)
        Hop("orders", on: Refunded.self).ends("expired")
        Hop("orders", on: Ordered.self, Charged.self).ends("paid")
        Hop("orders", deadline: "unpaid", after: Ordered.self).fails(Expired.self)
    }

    /// Charges each order, and counts how often it did.
    private struct Payments: Participant {
        struct State: Codable, Sendable {
            var charges = 0
            var isOver = false
        }

        let name = "payments"
        let database: SQLiteDatabase
        let initialState = State()

        var reactions: [Reaction<Self>] {
            On(Ordered.self) { state, order, effects in
                state.charges += 1
                effects.publish(Charged(orderID: order.orderID))
            }
            On(Expired.self) { state, _, effects in state.isOver = true }
        }
    }

    /// Waits for the charge, and not for long.
    private struct Orders: Participant {
        struct State: Codable, Sendable, Equatable {
            var events: [String] = []
        }

        let name = "orders"
        let database: SQLiteDatabase
        let initialState = State()
        var patience: Duration = .seconds(600)

        var reactions: [Reaction<Self>] {
            On(Ordered.self) { state, _, effects in
                state.events.append("ordered")
                if !state.events.contains("charged") { effects.setDeadline("unpaid", in: patience) }
            }
            On(Charged.self, late: .ignore) { state, _, effects in
                state.events.append("charged")
                effects.cancelDeadline("unpaid")
            }
            On(deadline: "unpaid") { state, effects in
                state.events.append("unpaid")
                effects.publish(Expired(orderID: effects.conversation))
                effects.end()
            }
        }
    }

    /// Participants and the watch, with what they keep in files.
    @Suite(.timeLimit(.minutes(10)))
    struct SQLiteChoreographyTests {
        private let folder: TemporaryFolder
        private let bus = InMemoryTransport(redeliveryDelay: .milliseconds(20))

        init() throws {
            folder = try TemporaryFolder()
        }

        private func order(_ id: String) async throws {
            let options = PublishOptions(correlationID: CorrelationID(id))
            let envelope = try await EnvelopeFactory(source: "/test").envelope(
                for: Ordered(orderID: id), options: options)
            while try await bus.publish([envelope]).contains(where: { $0.error != nil }) {}
        }

        private func run<P: Participant>(_ participant: P, in group: inout ThrowingTaskGroup<Void, any Error>) throws
        where P.DB == SQLiteDatabase {
            let consumer = try participant.consumer(on: bus)
                .retrying(.exponential(from: .milliseconds(5), upTo: .milliseconds(50), attempts: 100))
            let settings = OutboxRelaySettings(pollInterval: .milliseconds(20))
            let relay = OutboxRelay(from: participant.database, to: bus, settings: settings)
            group.addTask { try await consumer.run() }
            group.addTask { try await relay.run() }
        }

        private func until(_ condition: () async throws -> Bool) async throws {
            while try await !condition() { try await SystemTime().sleep(for: .milliseconds(10)) }
        }

        @Test func participantsKeepTheirConversationsInFiles() async throws {
            let (first, second) = (try await folder.opened(), try await folder.opened())
            let (orders, payments) = (Orders(database: first), Payments(database: second))
            #expect(flow.problems().map(\.message) == [])
            bus.setFaults(TransportFaults(publishFails: 0.1, duplicate: 0.4, lose: 0.1))
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                try run(payments, in: &group)
                // A group that comes later would not see what was read before.
                await (try bus.subscribe(to: try orders.routes.map(\.topic), as: "orders")).close()
                for number in 0..<25 { try await order("o\(number)") }
                try await until {
                    for number in 0..<25 where try await payments.conversation("o\(number)") == nil { return false }
                    return true
                }
                try run(orders, in: &group)
                try await until {
                    for number in 0..<25 {
                        guard let state = try await orders.conversation("o\(number)")?.state else { return false }
                        guard state.events.contains("ordered"), state.events.contains("charged") else { return false }
                    }
                    return true
                }
                for number in 0..<25 {
                    #expect(try await payments.conversation("o\(number)")?.state.charges == 1)
                    #expect(try await orders.conversation("o\(number)")?.state.events.count == 2)
                    #expect(try await orders.conversation("o\(number)")?.deadlines.isEmpty == true)
                }
            }
        }

        @Test func aDeadlineInAFilePassesAfterARestart() async throws {
            let orders = Orders(database: try await folder.opened(), patience: .milliseconds(400))
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                try run(orders, in: &group)
                try await order("o")
                try await until { try await orders.conversation("o") != nil }
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                try run(orders, in: &group)
                try await until { try await orders.conversation("o")?.endedAt != nil }
            }
            #expect(try await orders.conversation("o")?.state.events == ["ordered", "unpaid"])
            #expect(try await orders.sweep(endedBefore: .seconds(60), idleFor: .seconds(60), limit: 10) == 0)
            #expect(try await orders.sweep(endedBefore: .zero, idleFor: .seconds(60), limit: 10) == 1)
            #expect(try await orders.conversation("o") == nil)
        }

        @Test func aWatchKeepsWhatItSawInAFile() async throws {
            let database = try await folder.opened()
            let told = Shared<[ConversationAlert]>([])
            func watch() -> ChoreographyWatch<SQLiteDatabase> {
                ChoreographyWatch(flow, on: bus, in: database).polling(every: .milliseconds(20)).alerting { alert in
                    told.change { $0.append(alert) }
                }
            }
            let payments = Payments(database: try await folder.opened())
            await (try bus.subscribe(to: try payments.routes.map(\.topic), as: "payments")).close()
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                // Two copies, as in two processes.
                for _ in 0..<2 { group.addTask { try await watch().run() } }
                for number in 0..<10 { try await order("o\(number)") }
                try await until { told.value.count >= 10 }
                try await until { try await database.table("watch.shop.due", of: NoState.self).all().isEmpty }
            }
            #expect(told.value.count == 10)
            #expect(told.value.allSatisfy { $0.kind == .stalled && $0.stall.participant == "payments" })
            #expect(try await watch().stalled().map(\.id.rawValue) == (0..<10).map { "o\($0)" })
            try await withThrowingTaskGroup(of: Void.self) { group in
                defer { group.cancelAll() }
                group.addTask { try await watch().run() }
                try run(payments, in: &group)
                try await until { told.value.count >= 20 }
                try await until { try await watch().stalled().isEmpty }
            }
            #expect(told.value.count == 20)
            #expect(Set(told.value.map(\.key)).count == 10)
            #expect(try await watch().conversation("o3")?.state == .ended("paid"))
            #expect(try await watch().sweep(endedBefore: .zero, idleFor: .seconds(600), limit: 100) == 10)
            #expect(try await watch().conversation("o3") == nil)
        }
    }
#endif
