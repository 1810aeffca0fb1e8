// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// From published to acknowledged in memory: one producer and one consumer side by side, timed from the first publish to
/// the last acknowledgement.
enum TransportWorkloads {
    static let payloadBytes = 100

    /// Where messages come from.
    enum Origin: Sendable {
        /// Each is made when it is sent, with an identifier and a payload of its own.
        case new

        /// Each is made when it is sent, with one of 64 partition keys.
        case newWithKey

        /// All were made before.
        case prepared

        func messages(_ count: Int) -> [Envelope<Bytes>] {
            guard case .prepared = self else { return [] }
            return (0..<count).map { _ in Samples.message(payloadBytes: payloadBytes) }
        }

        func batch(_ range: Range<Int>, of prepared: [Envelope<Bytes>]) -> [Envelope<Bytes>] {
            switch self {
            case .new: range.map { _ in Samples.message(payloadBytes: payloadBytes) }
            case .newWithKey: range.map { Samples.message(payloadBytes: payloadBytes, key: keys[$0 % keys.count]) }
            case .prepared: Array(prepared[range])
            }
        }
    }

    private static let keys = (0..<64).map { PartitionKey("order-\($0)") }

    static func transport(_ name: String, batch size: Int, _ origin: Origin) -> Workload {
        Workload(name) { count in
            let transport = InMemoryTransport()
            let subscription = try await transport.subscribe(to: [Samples.topic], as: "payments")
            let prepared = origin.messages(count)
            return {
                try await sideBySide(
                    count,
                    produce: {
                        for batch in batches(of: size, upTo: count) {
                            for result in try await transport.publish(origin.batch(batch, of: prepared)) {
                                if let error = result.error { throw error }
                            }
                        }
                    },
                    consume: {
                        var acknowledged = 0
                        var bytes = 0
                        while acknowledged < count {
                            let deliveries = try await subscription.next(atMost: size)
                            for delivery in deliveries { bytes += delivery.envelope?.payload.count ?? 0 }
                            try await subscription.settle(deliveries.map { .acknowledge($0.id) })
                            acknowledged += deliveries.count
                        }
                        return bytes
                    }
                )
                try WorkloadError.check(transport.statistics.acknowledged, is: count, "Acknowledged")
            }
        }
    }

    /// The same in one task, step by step, so that counts of allocations and instructions are the same in every run.
    static func inLockstep(_ name: String, batch size: Int) -> Workload {
        Workload(name) { count in
            let transport = InMemoryTransport()
            let subscription = try await transport.subscribe(to: [Samples.topic], as: "payments")
            let prepared = Origin.prepared.messages(count)
            return {
                var acknowledged = 0
                for batch in batches(of: size, upTo: count) {
                    _ = try await transport.publish(Array(prepared[batch]))
                    let deliveries = try await subscription.next(atMost: size)
                    try await subscription.settle(deliveries.map { .acknowledge($0.id) })
                    acknowledged += deliveries.count
                }
                try WorkloadError.check(acknowledged, is: count, "Acknowledged")
            }
        }
    }

    /// An array behind a lock, in one task.
    static func arrayInLockstep(_ name: String, batch size: Int) -> Workload {
        Workload(name) { count in
            let box = LockedArray()
            let prepared = Origin.prepared.messages(count)
            return {
                var taken = 0
                for batch in batches(of: size, upTo: count) {
                    box.append(Array(prepared[batch]))
                    taken += box.takeAll().count
                }
                try WorkloadError.check(taken, is: count, "Taken")
            }
        }
    }

    static func asyncStream(_ name: String, batch size: Int, _ origin: Origin) -> Workload {
        Workload(name) { count in
            let (stream, continuation) = AsyncStream<[Envelope<Bytes>]>.makeStream()
            let prepared = origin.messages(count)
            return {
                try await sideBySide(
                    count,
                    produce: {
                        for batch in batches(of: size, upTo: count) {
                            continuation.yield(origin.batch(batch, of: prepared))
                        }
                        continuation.finish()
                    },
                    consume: {
                        var bytes = 0
                        for await batch in stream {
                            for envelope in batch { bytes += envelope.payload.count }
                        }
                        return bytes
                    }
                )
            }
        }
    }

    /// An array behind a lock: the consumer takes all there is, and yields its thread while there is nothing.
    static func lockedArray(_ name: String, batch size: Int, _ origin: Origin) -> Workload {
        Workload(name) { count in
            let box = LockedArray()
            let prepared = origin.messages(count)
            return {
                try await sideBySide(
                    count,
                    produce: {
                        for batch in batches(of: size, upTo: count) { box.append(origin.batch(batch, of: prepared)) }
                    },
                    consume: {
                        var seen = 0
                        var bytes = 0
                        while seen < count {
                            let envelopes = box.takeAll()
                            if envelopes.isEmpty { await Task.yield() }
                            for envelope in envelopes { bytes += envelope.payload.count }
                            seen += envelopes.count
                        }
                        return bytes
                    }
                )
            }
        }
    }

    private static func sideBySide(
        _ count: Int, produce: @escaping @Sendable () async throws -> Void,
        consume: @escaping @Sendable () async throws -> Int
    ) async throws {
        try await withThrowingTaskGroup(of: Int.self) { group in
            group.addTask {
                try await produce()
                return 0
            }
            group.addTask { try await consume() }
            let bytes = try await group.reduce(0, +)
            try WorkloadError.check(bytes, is: count * payloadBytes, "Bytes read")
        }
    }

    private static func batches(of size: Int, upTo count: Int) -> some Sequence<Range<Int>> {
        stride(from: 0, to: count, by: size).lazy.map { $0..<min($0 + size, count) }
    }
}

private final class LockedArray: Sendable {
    private let envelopes = Mutex<[Envelope<Bytes>]>([])

    func append(_ new: [Envelope<Bytes>]) {
        envelopes.withLock { $0 += new }
    }

    func takeAll() -> [Envelope<Bytes>] {
        envelopes.withLock { envelopes in
            defer { envelopes = [] }
            return envelopes
        }
    }
}
