// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// One member of a group that reads topics through a ``RetryTopicTransport``.
public final class RetryTopicSubscription<Inner: Transport>: TransportSubscription {
    /// A message that was handed out.
    private struct InHand: Sendable {
        let envelope: Envelope<Bytes>
        let retries: RetryHeaders
        /// Whether its copy is stored where it is to wait.
        var isMoved = false
    }

    private let inner: Inner.Subscription
    private let transport: RetryTopicTransport<Inner>
    private let group: ConsumerGroup
    private let topics: Set<Topic>
    private let inHand = Mutex<[Delivery.ID: InHand]>([:])

    private var time: any TimeSource { (transport.runtime ?? .current).time }

    init(_ inner: Inner.Subscription, of transport: RetryTopicTransport<Inner>, group: ConsumerGroup) {
        self.inner = inner
        self.transport = transport
        self.group = group
        topics = Set(transport.retryTopics(of: group))
    }

    /// Waits for messages that are due.
    ///
    /// - Parameter limit: How many deliveries the caller has room for, 1 or more.
    /// - Returns: At least one delivery, under the topic and place that it was first read from; none only after ``close()``.
    /// - Throws: What the transport throws.
    public func next(atMost limit: Int) async throws -> [Delivery] {
        while true {
            let deliveries = try await inner.next(atMost: limit)
            if deliveries.isEmpty { return [] }
            let now = time.now()
            var due: [Delivery] = []
            var early: [Settlement] = []
            for delivery in deliveries {
                guard let envelope = delivery.envelope else {
                    due.append(delivery)
                    continue
                }
                guard topics.contains(delivery.topic) else {
                    let first = RetryHeaders(topic: delivery.topic, position: delivery.position)
                    inHand.withLock { $0[delivery.id] = InHand(envelope: envelope, retries: first) }
                    due.append(delivery)
                    continue
                }
                let retries = RetryHeaders(envelope, readFrom: delivery)
                if retries.due > now {
                    early.append(.retry(delivery.id, after: retries.due - now))
                    continue
                }
                let restored = retries.restored(envelope)
                inHand.withLock { $0[delivery.id] = InHand(envelope: restored, retries: retries) }
                due.append(
                    Delivery(
                        id: delivery.id, content: .envelope(restored), topic: retries.topic,
                        position: retries.position, attempt: retries.count + 1))
            }
            if !early.isEmpty { try await giveBack(early, orElse: due) }
            if !due.isEmpty { return due }
        }
    }

    /// Gives back what is not due; if that fails, also what is, since it is then not handed out.
    private func giveBack(_ early: [Settlement], orElse due: [Delivery]) async throws {
        let inner = inner
        do {
            try await withCancellationShield {
                try await inner.settle(early)
            } onCancel: {
            }
        } catch {
            forget(due.map(\.id))
            try? await inner.settle(due.map { .release($0.id) })
            throw error
        }
    }

    /// Says what became of deliveries; those that are to come again after a while move to the topic of that delay.
    ///
    /// - Parameter settlements: The deliveries with what became of them.
    /// - Throws: What the transport throws; the deliveries can then be settled again, or come again.
    public func settle(_ settlements: [Settlement]) async throws {
        var settled = settlements
        var copies: [(index: Int, envelope: Envelope<Bytes>)] = []
        let now = time.now()
        let inHand = inHand.withLock { $0 }
        for (index, settlement) in settlements.enumerated() {
            guard let item = inHand[settlement.delivery] else { continue }
            if item.isMoved {
                // Settled once more, since that failed after the copy was stored: with another one it would come twice.
                settled[index] = .acknowledge(settlement.delivery)
                continue
            }
            guard case .retry(let delay) = settlement.outcome, delay > .zero,
                transport.order == .givenUp || item.envelope.attributes.partitionKey == nil,
                let topic = transport.delays.topic(for: delay, of: group)
            else { continue }
            copies.append((index, item.retries.next(due: now + delay).marked(item.envelope, in: topic)))
        }
        if !copies.isEmpty {
            let results = try await transport.inner.publish(copies.map(\.envelope))
            for ((index, _), result) in zip(copies, results) where result.error == nil {
                // One that could not be published waits where it is.
                let delivery = settlements[index].delivery
                settled[index] = .acknowledge(delivery)
                self.inHand.withLock { $0[delivery]?.isMoved = true }
            }
        }
        try await inner.settle(settled)
        forget(settlements.map(\.delivery))
    }

    private func forget(_ deliveries: [Delivery.ID]) {
        inHand.withLock { inHand in for delivery in deliveries { inHand[delivery] = nil } }
    }

    /// Leaves the group.
    public func close() async {
        await inner.close()
    }
}
