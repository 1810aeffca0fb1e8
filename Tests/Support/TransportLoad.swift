// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// Messages of many keys that are published as a relay does it and read as consumers do, with a book of what arrived.
///
/// What could not be published is published again until it is, and no later message of its key before it. So whatever happens to the
/// connections meanwhile, in the end each message has arrived, and the first arrivals of each key are in their order.
public struct TransportLoad: Sendable {
    /// The topic.
    public let topic: Topic

    private let keys: Int
    private let perKey: Int
    private let book = Book()
    private let time = SystemTime()

    /// Creates a load that was not begun.
    ///
    /// - Parameters:
    ///   - topic: The topic.
    ///   - keys: How many keys there are.
    ///   - perKey: How many messages each key has.
    public init(topic: Topic, keys: Int = 24, perKey: Int = 60) {
        self.topic = topic
        self.keys = keys
        self.perKey = perKey
    }

    /// How many messages were handed out so far, each counted once.
    public var arrived: Int { book.count }

    /// How many messages there are.
    public var count: Int { keys * perKey }

    // MARK: Trouble

    /// Publishes and reads all messages, with trouble in the middle: some have arrived when it begins, and half are not published yet.
    ///
    /// - Parameters:
    ///   - transport: Where to.
    ///   - member: Who reads.
    ///   - trouble: Makes the trouble, and ends it.
    /// - Returns: How often a message was not published at once.
    /// - Throws: What the transport, the member or the trouble throws.
    public func run(
        over transport: some Transport, to member: some TransportSubscription,
        during trouble: @Sendable () async throws -> Void
    ) async throws -> Int {
        book.holdsBack(from: perKey / 2)
        return try await withThrowingTaskGroup(of: Int.self) { group in
            group.addTask { try await publish(to: transport) }
            group.addTask {
                try await read(with: member)
                return 0
            }
            while arrived < count / 10 { try await time.sleep(for: .milliseconds(10)) }
            book.holdsBack(from: perKey)
            try await trouble()
            var failures = 0
            for try await number in group { failures += number }
            return failures
        }
    }

    // MARK: Publishing

    /// Publishes all messages.
    ///
    /// - Parameters:
    ///   - transport: Where to.
    ///   - pause: How long to wait between two batches, so that the load takes its time.
    /// - Returns: How often a message was not published at once.
    /// - Throws: What the transport throws.
    public func publish(to transport: some Transport, pause: Duration = .milliseconds(40)) async throws -> Int {
        try await withThrowingTaskGroup(of: Int.self) { group in
            for part in 0..<4 {
                group.addTask {
                    var failures = 0
                    for number in 0..<perKey {
                        while number >= book.publishable { try await time.sleep(for: .milliseconds(10)) }
                        var left = (0..<keys).filter { $0 % 4 == part }.map { message(number, of: $0) }
                        while !left.isEmpty {
                            let results = try await transport.publish(left)
                            left = zip(left, results).filter { $0.1.error != nil }.map(\.0)
                            failures += left.count
                            try await time.sleep(for: left.isEmpty ? pause : .milliseconds(100))
                        }
                    }
                    return failures
                }
            }
            var failures = 0
            for try await number in group { failures += number }
            return failures
        }
    }

    private func message(_ number: Int, of key: Int) -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(
            id: MessageID("\(key)-\(number)"), source: "/load", type: "load.message", topic: topic)
        attributes.partitionKey = PartitionKey("key-\(key)")
        return Envelope(attributes, payload: Bytes("\(number)".utf8))
    }

    // MARK: Reading

    /// Reads and acknowledges until all messages have come, or for two minutes.
    ///
    /// - Parameter member: Who reads.
    /// - Throws: What the member throws.
    public func read(with member: some TransportSubscription) async throws {
        let deadline = time.monotonic() + .seconds(120)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                do {
                    while true {
                        let deliveries = try await member.next(atMost: 20)
                        if deliveries.isEmpty { return }
                        for delivery in deliveries { note(delivery) }
                        try await member.settle(deliveries.map { .acknowledge($0.id) })
                    }
                } catch is CancellationError {
                    return
                }
            }
            group.addTask {
                while arrived < count, time.monotonic() < deadline { try await time.sleep(for: .milliseconds(20)) }
            }
            try await group.next()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    private func note(_ delivery: Delivery) {
        guard let parts = delivery.envelope?.id.rawValue.split(separator: "-").compactMap({ Int($0) }), parts.count == 2
        else { return }
        book.note(parts[1], of: parts[0])
    }

    /// What is wrong with what arrived; empty if nothing is.
    public var wrong: [String] {
        (0..<keys).compactMap { key in
            let first = book.firstArrivals(of: key)
            if first == Array(0..<perKey) { return nil }
            return first.count < perKey
                ? "\(perKey - first.count) messages of the key \(key) are missing"
                : "the messages of the key \(key) came in the order \(first)"
        }
    }

    /// What arrived first, for each key, and how far to publish.
    private final class Book: Sendable {
        private struct State: Sendable {
            var first: [Int: [Int]] = [:]
            var seen: [Int: Set<Int>] = [:]
            var count = 0
            var publishable = Int.max
        }

        private let state = Mutex(State())

        var count: Int { state.withLock { $0.count } }
        var publishable: Int { state.withLock { $0.publishable } }

        func holdsBack(from number: Int) { state.withLock { $0.publishable = number } }

        func note(_ number: Int, of key: Int) {
            state.withLock { state in
                guard state.seen[key, default: []].insert(number).inserted else { return }
                state.first[key, default: []].append(number)
                state.count += 1
            }
        }

        func firstArrivals(of key: Int) -> [Int] { state.withLock { $0.first[key] ?? [] } }
    }
}
