// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What the checks of a transport share: names that nobody else uses, reading with an end to patience, and words for failures.
struct TransportProbe<T: Transport>: Sendable {
    let check: TransportCheck
    let transport: T
    let patience: TransportCheck.Patience
    private let run: String

    init(_ check: TransportCheck, on transport: T, patience: TransportCheck.Patience) {
        self.check = check
        self.transport = transport
        self.patience = patience
        run = Runtime.current.makeUUID().description
    }

    var time: any TimeSource { Runtime.current.time }

    func failure(_ message: String) -> CheckFailure {
        CheckFailure(check: check.rawValue, message)
    }

    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        guard condition else { throw failure(message()) }
    }

    // MARK: Names

    func topic(_ name: String = "main") -> Topic { Topic("check.\(run).\(name)") }

    func group(_ name: String = "main") -> ConsumerGroup { ConsumerGroup("check.\(run).\(name)") }

    func subscribe(_ topics: [Topic]? = nil, as group: ConsumerGroup? = nil) async throws -> T.Subscription {
        try await transport.subscribe(to: topics ?? [topic()], as: group ?? self.group())
    }

    func message(_ number: Int, key: PartitionKey? = nil, in topic: Topic? = nil) -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(
            id: MessageID("\(run)-\(number)"), source: "/dovetail/check", type: "dovetail.check",
            topic: topic ?? self.topic()
        )
        attributes.contentType = "text/plain"
        attributes.partitionKey = key
        return Envelope(attributes, payload: Bytes("number \(number)".utf8))
    }

    func messages(_ count: Int, key: (Int) -> PartitionKey? = { _ in nil }) -> [Envelope<Bytes>] {
        (0..<count).map { message($0, key: key($0)) }
    }

    /// The number a message was made with, for failures that people read.
    func number(of id: MessageID) -> String {
        id.rawValue.hasPrefix(run) ? String(id.rawValue.dropFirst(run.count + 1)) : id.rawValue
    }

    // MARK: Publishing

    /// Publishes messages of which none may fail.
    func publish(_ envelopes: [Envelope<Bytes>]) async throws {
        let results = try await transport.publish(envelopes)
        try require(results.count == envelopes.count, "\(envelopes.count) envelopes had \(results.count) results.")
        for result in results {
            if let error = result.error { throw failure("A message was not published: \(error)") }
        }
    }

    // MARK: Reading

    /// Receives what comes within a time; `nil` if nothing does.
    func receive(
        from subscription: T.Subscription, atMost limit: Int = 10, within limitOfTime: Duration
    ) async throws -> [Delivery]? {
        let time = time
        return try await withThrowingTaskGroup(of: [Delivery]?.self) { group in
            group.addTask {
                do { return try await subscription.next(atMost: limit) } catch is CancellationError { return nil }
            }
            group.addTask {
                try? await time.sleep(for: limitOfTime)
                return nil
            }
            defer { group.cancelAll() }
            if let first = try await group.next(), let deliveries = first { return deliveries }
            group.cancelAll()
            // What was handed out just as the time ran out has arrived.
            while let other = try await group.next() {
                if let deliveries = other { return deliveries }
            }
            try Task.checkCancellation()
            return nil
        }
    }

    /// Receives at least one message.
    func next(from subscription: T.Subscription, atMost limit: Int = 10) async throws -> [Delivery] {
        guard let deliveries = try await receive(from: subscription, atMost: limit, within: patience.arrival) else {
            throw failure("Nothing arrived within \(patience.arrival).")
        }
        try require(!deliveries.isEmpty, "An open member was handed no delivery at all.")
        try require(deliveries.count <= limit, "A member with room for \(limit) was handed \(deliveries.count).")
        return deliveries
    }

    /// Receives one certain message and settles repeats of others that were settled before.
    func next(_ expected: Envelope<Bytes>, from subscription: T.Subscription) async throws -> Delivery {
        let delivery = try await next(from: subscription, atMost: 1)[0]
        try require(
            delivery.envelope?.id == expected.id,
            "Message \(number(of: expected.id)) was to come, but "
                + "\(delivery.envelope.map { number(of: $0.id) } ?? "something undecodable") came."
        )
        return delivery
    }

    /// Listens for a while in which nothing must come.
    func expectSilence(from subscription: T.Subscription, _ reason: String) async throws {
        guard let deliveries = try await receive(from: subscription, within: patience.silence), !deliveries.isEmpty
        else {
            return
        }
        let numbers = deliveries.map { $0.envelope.map { number(of: $0.id) } ?? "undecodable" }
        throw failure("\(reason), but these came: \(numbers.joined(separator: ", ")).")
    }

    /// Reads with one member until all of these messages arrived.
    ///
    /// - Returns: The first arrival of each, in order.
    @discardableResult
    func collect(
        _ expected: [Envelope<Bytes>], from subscription: T.Subscription, atMost limit: Int = 10,
        deciding: @escaping @Sendable (Delivery) -> Settlement.Outcome = { _ in .acknowledge }
    ) async throws -> [Delivery] {
        try await collect(expected, from: [subscription], atMost: limit, deciding: deciding)
    }

    /// Reads with several members at once until all of these messages were acknowledged.
    ///
    /// Of messages that were settled before, `repeats`, each may come again: a partition that changes hands may bring them.
    ///
    /// - Returns: The first arrival of each, in order.
    @discardableResult
    func collect(
        _ expected: [Envelope<Bytes>], from subscriptions: [T.Subscription], atMost limit: Int = 10,
        repeats: [Envelope<Bytes>] = [],
        deciding: @escaping @Sendable (Delivery) -> Settlement.Outcome = { _ in .acknowledge }
    ) async throws -> [Delivery] {
        let arrivals = Arrivals(expected.map(\.attributes.id), repeats: repeats.map(\.attributes.id))
        try await readTogether(subscriptions, arrivals: arrivals, atMost: limit) { deliveries in
            deliveries.map { Settlement($0.id, deciding($0)) }
        }
        return arrivals.first
    }

    /// Reads with several members at once until all that was expected is acknowledged.
    func readTogether(
        _ subscriptions: [T.Subscription], arrivals: Arrivals, atMost limit: Int = 10,
        settling: @escaping @Sendable ([Delivery]) async throws -> [Settlement]
    ) async throws {
        let time = time
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for (member, subscription) in subscriptions.enumerated() {
                group.addTask {
                    while !arrivals.isComplete {
                        let deliveries: [Delivery]
                        do { deliveries = try await subscription.next(atMost: limit) } catch is CancellationError {
                            return true
                        }
                        if deliveries.isEmpty { throw failure("A member that is open was handed nothing.") }
                        if let stranger = arrivals.arrived(deliveries, at: member) {
                            throw failure(
                                "A message came that was not published to these topics: \(number(of: stranger)).")
                        }
                        // Let the others run while this one has something in hand.
                        await Task.yield()
                        let settlements = try await settling(deliveries)
                        let done = arrivals.letGo(settlements, by: member)
                        try await subscription.settle(settlements)
                        arrivals.done(done)
                    }
                    return true
                }
            }
            group.addTask {
                do { try await time.sleep(for: patience.arrival) } catch { return true }
                return false
            }
            defer { group.cancelAll() }
            guard try await group.next() == true else {
                let missing = arrivals.missing.map(number(of:)).sorted()
                throw failure(
                    "\(missing.count) of \(arrivals.expected.count) messages were not handled within \(patience.arrival): "
                        + missing.prefix(10).joined(separator: ", ") + (missing.count > 10 ? ", ..." : ".")
                )
            }
        }
    }
}
