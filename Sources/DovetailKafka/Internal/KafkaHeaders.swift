// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore
    import Synchronization

    /// The headers of a record in the memory of librdkafka, until a producer takes them over.
    final class KafkaHeaders: Sendable {
        /// Where they are; 0 if there are none, and once they are the producer's.
        private let address: Atomic<Int>

        /// What they take up on the wire, roughly.
        let byteCount: Int

        /// Writes the attributes of an event.
        ///
        /// - Throws: ``MessageError`` if it would not be a valid event.
        init(of attributes: EnvelopeAttributes) throws(MessageError) {
            // More makes the list grow.
            let list = rd_kafka_headers_new(12)
            do {
                byteCount = try Self.format.write(attributes) { name, value in Self.add(name, value, to: list) }
            } catch {
                rd_kafka_headers_destroy(list)
                throw error
            }
            address = Atomic(Int(bitPattern: list))
        }

        init(_ headers: [KafkaRecord.Header]) {
            let list = headers.isEmpty ? nil : rd_kafka_headers_new(headers.count)
            var byteCount = 0
            for header in headers {
                header.name.withBytes { name in
                    header.value.withBytes { value in Self.add(name, value, to: list) }
                }
                byteCount += header.name.utf8.count + header.value.utf8.count
            }
            self.byteCount = byteCount
            address = Atomic(Int(bitPattern: list))
        }

        deinit {
            if let list { rd_kafka_headers_destroy(list) }
        }

        /// Has a producer take them, `nil` if there are none; they are its own if it says that there was no error.
        ///
        /// Is called by one at a time, the one who has the record to send.
        func hand(to take: (OpaquePointer?) -> rd_kafka_resp_err_t) -> rd_kafka_resp_err_t {
            let code = take(list)
            if code == RD_KAFKA_RESP_ERR_NO_ERROR { address.store(0, ordering: .releasing) }
            return code
        }

        private var list: OpaquePointer? { OpaquePointer(bitPattern: address.load(ordering: .acquiring)) }

        private static let format = CloudEventsBinaryFormat(.kafka)

        private static func add(
            _ name: UnsafeBufferPointer<UInt8>, _ value: UnsafeBufferPointer<UInt8>, to list: OpaquePointer?
        ) {
            name.withMemoryRebound(to: CChar.self) { name in
                // No address would be no value, which is not the same as an empty one.
                _ = rd_kafka_header_add(
                    list, name.baseAddress, name.count, value.baseAddress ?? UnsafePointer(KafkaWriter.emptyBytes),
                    value.count)
            }
        }
    }
#endif
