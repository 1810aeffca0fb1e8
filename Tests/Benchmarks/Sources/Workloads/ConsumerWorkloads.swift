// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import Synchronization

/// A consumer with a handler that does nothing, from the first message published to the last one handled.
enum ConsumerWorkloads {
    static let handled = Workload("published one at a time, handled by a handler that does nothing") { count in
        let transport = InMemoryTransport()
        // The group is there before the first message, so that none is dropped.
        let subscription = try await transport.subscribe(to: [Samples.topic], as: "payments")
        await subscription.close()
        let (arrival, arrived) = AsyncStream<Never>.makeStream()
        let handled = Counter()
        let consumer = Consumer("payments", on: transport) {
            On(type: "shop.order.placed", version: 1, topic: Samples.topic) { _ in
                if handled.increment() == count { arrived.finish() }
            }
        }
        return {
            try await withThrowingTaskGroup { group in
                group.addTask { try await consumer.run() }
                group.addTask {
                    for _ in 0..<count {
                        let message = Samples.message(payloadBytes: TransportWorkloads.payloadBytes)
                        for result in try await transport.publish([message]) {
                            if let error = result.error { throw error }
                        }
                    }
                    for await _ in arrival {}
                    throw CancellationError()
                }
                while let result = await group.nextResult() {
                    guard case .failure(let error) = result else { continue }
                    guard error is CancellationError else { throw error }
                    group.cancelAll()
                }
            }
            try WorkloadError.check(transport.statistics.acknowledged, is: count, "Acknowledged")
        }
    }
}

/// Counts what several tasks do.
final class Counter: Sendable {
    private let count = Atomic<Int>(0)

    var value: Int { count.load(ordering: .relaxed) }

    func increment() -> Int {
        count.add(1, ordering: .relaxed).newValue
    }
}
