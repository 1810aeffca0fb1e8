// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import Synchronization

    /// A queue of librdkafka that one thread polls and others wake it from.
    final class KafkaQueue: @unchecked Sendable {
        // Safe to share: only the thread that polls uses and destroys `raw`; others come through `yield`, under the lock.
        let raw: OpaquePointer
        private let isAlive = Mutex(true)

        /// - Parameter raw: The queue, which becomes this value's own.
        init(_ raw: OpaquePointer) {
            self.raw = raw
        }

        /// Has the thread that polls come back at once; does nothing once the queue was destroyed.
        func yield() {
            // Under the lock, so that the queue is not destroyed meanwhile; the call only sets a flag and signals.
            isAlive.withLock { if $0 { rd_kafka_queue_yield(raw) } }
        }

        /// Gives the queue back; must be the last use of it.
        func destroy() {
            isAlive.withLock { $0 = false }
            rd_kafka_queue_destroy(raw)
        }
    }
#endif
