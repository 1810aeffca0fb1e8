// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation

struct OrderPlaced: Event {
    static let type: MessageType = "shop.order.placed"
    let orderID: String
    let cents: Int
    var partitionKey: PartitionKey? { PartitionKey(orderID) }

    static let sample = OrderPlaced(orderID: "42", cents: 300)
}

struct OrderCancelled: Event {
    static let type: MessageType = "shop.order.cancelled"
    let orderID: String
    // No key: it may come at any time.
}

struct PaymentSucceeded: Event {
    static let type: MessageType = "shop.payment.succeeded"
    let orderID: String
    let cents: Int
    var partitionKey: PartitionKey? { PartitionKey(orderID) }
}

/// Takes an order's money once and says so; and the same broken on purpose, as teams have broken it.
struct Payments: Service {
    enum Defect: Sendable {
        /// A repeat adds to the ledger again.
        case notIdempotent
        /// What was asked of the gateway is not covered by the key.
        case effectOutsideTransaction
        /// The transaction commits, and what it says is published afterwards.
        case dualWrite
        /// What the transaction will say is published before its commit.
        case publishesBeforeCommit
        /// The key is recorded before the work is done.
        case keyBeforeWork
        /// What cannot be read is dropped.
        case swallowsErrors
        /// Any error is a matter of business.
        case misjudges
        /// A dead letter is shortened.
        case shortensLetters
        /// Nothing is kept.
        case hasNoSink
    }

    let database: InMemoryDatabase
    let bus: InMemoryTransport
    var gateway: InMemoryDatabase?
    var defect: Defect?

    private var ledger: Table<InMemoryDatabase, Int> { database.table("ledger", of: Int.self) }
    private var outbox: Outbox<InMemoryDatabase> { Outbox(in: database) }

    init(_ node: Node, _ defect: Defect? = nil) {
        database = node.database
        bus = node.bus
        gateway = node.database("gateway")
        self.defect = defect
    }

    func run() async throws {
        var consumer = Consumer("payments", on: bus) { route }
            .retrying(.exponential(from: .milliseconds(10), attempts: 5))
        switch defect {
        case .hasNoSink: break
        case .misjudges:
            consumer = consumer.deadLettering(to: DeadLetterQueue(in: database))
                .classifying(by: FailureClassifier().adding { _ in .permanent(.businessRule) })
        case .shortensLetters: consumer = consumer.deadLettering(to: ShorteningSink(database: database))
        default: consumer = consumer.deadLettering(to: DeadLetterQueue(in: database))
        }
        try await Services(OutboxRelay(from: database, to: bus), consumer).run()
    }

    private var route: On {
        switch defect {
        case .notIdempotent:
            On(OrderPlaced.self) { order, _ in
                try await database.withTransaction { tx in
                    let before = try await ledger.get(order.orderID, in: tx) ?? 0
                    try await ledger.put(before + order.cents, at: order.orderID, in: tx)
                }
            }
        case .effectOutsideTransaction:
            On(OrderPlaced.self) { order, context in
                try await charge(order)
                _ = try await once(context) { tx in try await write(order, tx) }
            }
        case .dualWrite:
            On(OrderPlaced.self) { order, context in
                let isNew = try await once(context) { tx in
                    try await ledger.put(order.cents, at: order.orderID, in: tx)
                }
                if isNew { try await publish(order) }
            }
        case .publishesBeforeCommit:
            On(OrderPlaced.self, once: database) { order, _, tx in
                try await ledger.put(order.cents, at: order.orderID, in: tx)
                try await publish(order)
            }
        case .keyBeforeWork:
            On(OrderPlaced.self) { order, context in
                guard try await once(context, { _ in }) else { return }
                try await database.withTransaction { tx in try await write(order, tx) }
            }
        case .swallowsErrors:
            On(type: OrderPlaced.type, version: OrderPlaced.version, topic: OrderPlaced.topic) { incoming in
                guard let order = try? await incoming.decode(OrderPlaced.self) else { return }
                _ = try await once(incoming.context) { tx in try await write(order, tx) }
            }
        case .misjudges, .shortensLetters, .hasNoSink, nil:
            On(OrderPlaced.self, once: database) { order, _, tx in try await write(order, tx) }
        }
    }

    private func write(_ order: OrderPlaced, _ tx: InMemoryTransaction) async throws {
        try await ledger.put(order.cents, at: order.orderID, in: tx)
        try await outbox.publish(PaymentSucceeded(orderID: order.orderID, cents: order.cents), in: tx)
    }

    private func once(
        _ context: MessageContext, _ body: (InMemoryTransaction) async throws -> Void
    ) async throws -> Bool {
        try await database.withTransaction { tx in
            let isNew = try await database.idempotencyStore.record(
                [IdempotencyKey(context.messageID.rawValue)], in: "payments", retention: .seconds(86_400), in: tx)
            guard isNew == [true] else { return false }
            try await body(tx)
            return true
        }
    }

    private func publish(_ order: OrderPlaced) async throws {
        try await Publisher(on: bus).publish(PaymentSucceeded(orderID: order.orderID, cents: order.cents))
    }

    /// Asks the gateway for the money, which writes a line each time.
    private func charge(_ order: OrderPlaced) async throws {
        guard let gateway else { return }
        let charges = gateway.table("charges", of: Int.self)
        let key = "\(order.orderID)/\(Runtime.current.makeUUID())"
        try await gateway.withTransaction { tx in try await charges.put(order.cents, at: key, in: tx) }
    }
}

/// Keeps only the start of a letter.
private struct ShorteningSink: DeadLetterSink {
    let database: InMemoryDatabase

    func capture(_ letters: [DeadLetter]) async throws {
        let shortened = letters.map { letter in
            var content = letter.content
            if case .envelope(var envelope) = content {
                envelope.payload = Bytes(envelope.payload.prefix(16))
                content = .envelope(envelope)
            }
            return DeadLetter(
                id: letter.id, content: content, topic: letter.topic, position: letter.position,
                consumer: letter.consumer, attempts: letter.attempts, reason: letter.reason, failure: letter.failure,
                time: letter.time)
        }
        try await DeadLetterQueue(in: database).capture(shortened)
    }
}

/// Reads the bus by hand, without a consumer.
struct HandmadePayments: Service {
    enum Defect: Sendable {
        /// The message is settled before what it asks for is done.
        case acknowledgesBeforeCommit
        /// Bytes that are no message end the service.
        case endsOnGarbage
        /// What fails is tried again at once, for ever.
        case triesForEver
    }

    let database: InMemoryDatabase
    let bus: InMemoryTransport
    let defect: Defect

    init(_ node: Node, _ defect: Defect) {
        database = node.database
        bus = node.bus
        self.defect = defect
    }

    func run() async throws {
        let ledger = database.table("ledger", of: Int.self)
        let subscription = try await bus.subscribe(to: [OrderPlaced.topic], as: "handmade")
        while true {
            for delivery in try await subscription.next(atMost: 1) {
                do {
                    let order = try await read(delivery)
                    if defect == .acknowledgesBeforeCommit {
                        try await subscription.settle([.acknowledge(delivery.id)])
                    }
                    try await database.withTransaction { tx in
                        try await ledger.put(order.cents, at: order.orderID, in: tx)
                    }
                    try await subscription.settle([.acknowledge(delivery.id)])
                } catch let error as MessageError {
                    guard defect == .triesForEver else { throw error }
                    try await subscription.settle([.retry(delivery.id, after: .zero)])
                }
            }
        }
    }

    private func read(_ delivery: Delivery) async throws -> OrderPlaced {
        switch delivery.content {
        case .envelope(let envelope): try await JSONPayloadCodec().decode(OrderPlaced.self, from: envelope)
        case .undecodable(_, _, let error): throw error
        }
    }
}
