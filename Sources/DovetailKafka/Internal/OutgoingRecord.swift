// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore
    import Synchronization

    /// A message as librdkafka is to take it.
    ///
    /// The headers are written where librdkafka keeps them: as texts of our own first, those of a small message take a fifth of the time
    /// that sending it does.
    final class OutgoingRecord: Sendable {
        /// The name of the topic.
        let topic: String
        let key: Bytes?
        /// `nil` is not the same as empty, see ``KafkaRecord/value``.
        let value: Bytes?

        /// What it takes up in memory and on the wire, roughly.
        let byteCount: Int

        /// Where the headers are; 0 if there are none, and once they are the producer's.
        private let address: Atomic<Int>

        /// - Throws: ``MessageError`` if the envelope would not be a valid event.
        init(_ envelope: Envelope<Bytes>, to topic: String) throws(MessageError) {
            let (address, size) = try Self.write(envelope.attributes)
            self.topic = topic
            key = KafkaRecord.key(of: envelope)
            value = envelope.payload
            byteCount = size + (key?.count ?? 0) + envelope.payload.count
            self.address = Atomic(address)
        }

        init(_ record: KafkaRecord, to topic: String) {
            let list = record.headers.isEmpty ? nil : rd_kafka_headers_new(record.headers.count)
            for header in record.headers {
                header.name.withBytes { name in
                    header.value.withBytes { value in
                        Self.add(name.baseAddress, name.count, value.baseAddress, value.count, to: list)
                    }
                }
            }
            self.topic = topic
            key = record.key
            value = record.value
            byteCount = record.byteCount
            address = Atomic(Int(bitPattern: list))
        }

        deinit {
            if let headers { rd_kafka_headers_destroy(headers) }
        }

        private var headers: OpaquePointer? { OpaquePointer(bitPattern: address.load(ordering: .acquiring)) }

        /// Has a producer take the headers, `nil` if there are none; they are its own if it says that there was no error.
        ///
        /// Is called by one at a time, the one who has the record to send.
        func handOver(_ take: (OpaquePointer?) -> rd_kafka_resp_err_t) -> rd_kafka_resp_err_t {
            let code = take(headers)
            if code == RD_KAFKA_RESP_ERR_NO_ERROR { address.store(0, ordering: .releasing) }
            return code
        }

        private static let format = CloudEventsBinaryFormat(.kafka)

        private static func write(_ attributes: EnvelopeAttributes) throws(MessageError) -> (address: Int, size: Int) {
            // More than so many make the list grow.
            let list = rd_kafka_headers_new(12)
            let size = Result { () throws(MessageError) in try format.write(attributes, to: list, take) }
            if case .failure = size { rd_kafka_headers_destroy(list) }
            return (Int(bitPattern: list), try size.get())
        }

        private static let take: CloudEventsBinaryFormat.HeaderTaker = { list, name, nameSize, value, size in
            add(name, nameSize, value, size, to: list)
        }

        private static func add(
            _ name: UnsafePointer<UInt8>?, _ nameSize: Int, _ value: UnsafePointer<UInt8>?, _ size: Int,
            to list: OpaquePointer?
        ) {
            // No address would be no value, which is not the same as an empty one.
            let value = UnsafeRawPointer(value ?? UnsafePointer(KafkaWriter.emptyBytes))
            _ = rd_kafka_header_add(
                list, UnsafeRawPointer(name)?.assumingMemoryBound(to: CChar.self), nameSize, value, size)
        }
    }
#endif
