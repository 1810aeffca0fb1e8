// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import Synchronization

/// What an outbox adds to a transaction, and how fast a relay empties one, in memory.
enum OutboxWorkloads {
    private struct Order: Codable, Sendable {
        let id: String
        let sku: String
        let cents: Int
    }

    private struct OrderPlaced: Event {
        static let type: MessageType = "shop.order.placed"
        let orderID: String
        let sku: String
        let cents: Int
        var partitionKey: PartitionKey? { PartitionKey(orderID) }
    }

    // MARK: Appending

    /// What goes into a transaction beside the business row.
    enum Extra: Sendable {
        case nothing

        /// An envelope that was made before.
        case envelope

        /// An event, which gets an identifier and is encoded.
        case event
    }

    /// One transaction after the other; each writes the row of an order, one of a thousand.
    static func transactions(_ name: String, with extra: Extra) -> Workload {
        Workload(name) { count in
            let database = InMemoryDatabase()
            let orders = database.table("orders", of: Order.self)
            let outbox = Outbox(in: database)
            var prepared: [Envelope<Bytes>] = []
            if case .envelope = extra { prepared = messages(count, keys: 1_000) }
            let envelopes = prepared
            return {
                for index in 0..<count {
                    let order = Order(id: "order-\(index % 1_000)", sku: "book", cents: 1_200)
                    try await database.withTransaction { tx in
                        try await orders.put(order, at: order.id, in: tx)
                        switch extra {
                        case .nothing: break
                        case .envelope: try await outbox.publish(envelopes[index], in: tx)
                        case .event:
                            let event = OrderPlaced(orderID: order.id, sku: order.sku, cents: order.cents)
                            try await outbox.publish(event, in: tx)
                        }
                    }
                }
                if case .nothing = extra { return }
                try WorkloadError.check(try await outbox.statistics().unsent, is: count, "Messages in the outbox")
            }
        }
    }

    /// Appends only, many to a transaction.
    static func appends(_ name: String, batch size: Int) -> Workload {
        Workload(name) { count in
            let database = InMemoryDatabase()
            let outbox = Outbox(in: database)
            let envelopes = messages(count, keys: 1_000)
            return {
                for start in stride(from: 0, to: count, by: size) {
                    try await database.withTransaction { tx in
                        try await outbox.publish(Array(envelopes[start..<min(start + size, count)]), in: tx)
                    }
                }
            }
        }
    }

    // MARK: Relaying

    static let relay = relayed("relay to a transport that does nothing, no keys", keys: 0)
    static let keyedRelay = relayed("relay to a transport that does nothing, 1,000 keys", keys: 1_000)

    /// Empties an outbox that was filled by transactions of a hundred messages.
    private static func relayed(_ name: String, keys: Int) -> Workload {
        Workload(name) { count in
            let database = InMemoryDatabase()
            let outbox = Outbox(in: database)
            let envelopes = messages(count, keys: keys)
            for start in stride(from: 0, to: count, by: 100) {
                try await database.withTransaction { tx in
                    try await outbox.publish(Array(envelopes[start..<min(start + 100, count)]), in: tx)
                }
            }
            let transport = IdleTransport(expecting: count)
            return {
                let relay = OutboxRelay(from: database, to: transport)
                try await Workload.running(relay) { await transport.untilAllArrived() }
                try WorkloadError.check(try await outbox.statistics().unsent, is: 0, "Messages left in the outbox")
            }
        }
    }

    /// An array, taken from the front in the relay's batches and given to the same transport.
    static let drainedArray = Workload("an array in batches of 500 to the same transport") { count in
        let envelopes = messages(count, keys: 0)
        let transport = IdleTransport(expecting: count)
        return {
            var rest = envelopes[...]
            while !rest.isEmpty {
                let batch = Array(rest.prefix(500))
                rest = rest.dropFirst(500)
                sink(try await transport.publish(batch))
            }
            await transport.untilAllArrived()
        }
    }

    static func messages(_ count: Int, keys: Int) -> [Envelope<Bytes>] {
        let keys = (0..<keys).map { PartitionKey("order-\($0)") }
        return (0..<count).map { Samples.message(payloadBytes: 200, key: keys.isEmpty ? nil : keys[$0 % keys.count]) }
    }
}

/// Takes everything, keeps nothing, and knows when so many messages have come.
final class IdleTransport: Transport {
    let capabilities = TransportCapabilities(ordersPerKey: true)
    private let expected: Int
    private let count = Atomic<Int>(0)
    private let (arrival, arrived) = AsyncStream<Never>.makeStream()

    init(expecting expected: Int) {
        self.expected = expected
    }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        if count.add(envelopes.count, ordering: .relaxed).newValue >= expected { arrived.finish() }
        return Array(repeating: .published, count: envelopes.count)
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> InMemorySubscription {
        throw TransportError(.refused, "Nothing can be read from a transport that keeps nothing.")
    }

    func untilAllArrived() async {
        for await _ in arrival {}
    }
}
