// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore
    import Synchronization

    /// The topics of a client as librdkafka knows them.
    ///
    /// By a name it looks through all its topics for each message, and keeps everybody else out meanwhile.
    final class KafkaTopics: Sendable {
        fileprivate struct Handle: @unchecked Sendable {
            // Safe to share: librdkafka lets any thread use a topic, and `destroy` is called when nobody publishes any more.
            let raw: OpaquePointer
        }

        private let handles = Mutex<[String: Handle]>([:])

        fileprivate func handle(of name: String, for client: KafkaHandle) -> Handle? {
            handles.withLock { handles in
                if let known = handles[name] { return known }
                guard let raw = rd_kafka_topic_new(client.raw, name, nil) else { return nil }
                let handle = Handle(raw: raw)
                handles[name] = handle
                return handle
            }
        }

        /// Lets go of all; none may be used any more.
        func destroy() {
            handles.withLock { handles in
                for handle in handles.values { rd_kafka_topic_destroy(handle.raw) }
                handles = [:]
            }
        }

        /// Topics, found once for messages of the same topic in a row.
        struct Recent {
            private var last: (name: String, handle: Handle)?

            /// - Returns: `nil` if librdkafka does not take the name; why is its last error.
            mutating func handle(of name: String, in topics: KafkaTopics, for client: KafkaHandle) -> OpaquePointer? {
                if let last, last.name == name { return last.handle.raw }
                guard let handle = topics.handle(of: name, for: client) else { return nil }
                last = (name, handle)
                return handle.raw
            }
        }
    }
#endif
