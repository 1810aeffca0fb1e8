// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore

    /// Records from and to the memory of librdkafka.
    enum KafkaWriter {
        /// Gives a record to a producer, which copies it.
        ///
        /// If it takes the record, the producer keeps the ticket, and gives it back with the delivery report.
        static func produce(
            _ record: OutgoingRecord, to topic: OpaquePointer, opaque: KafkaTicket, with client: OpaquePointer
        ) -> rd_kafka_resp_err_t {
            let opaque = Unmanaged.passRetained(opaque)
            let code = record.handOver { headers in
                produce(record, headers, to: topic, opaque: opaque.toOpaque(), with: client)
            }
            if code != RD_KAFKA_RESP_ERR_NO_ERROR { opaque.release() }
            return code
        }

        private static func produce(
            _ record: OutgoingRecord, _ headers: OpaquePointer?, to topic: OpaquePointer,
            opaque: UnsafeMutableRawPointer, with client: OpaquePointer
        ) -> rd_kafka_resp_err_t {
            (record.key ?? []).withUnsafeBytes { key in
                (record.value ?? []).withUnsafeBytes { value in
                    withUnsafeTemporaryAllocation(of: rd_kafka_vu_t.self, capacity: 6) { arguments in
                        var count = 0
                        func append(_ type: rd_kafka_vtype_t, _ set: (inout rd_kafka_vu_t) -> Void) {
                            arguments.initializeElement(at: count, to: .make(type, set))
                            count += 1
                        }
                        append(RD_KAFKA_VTYPE_RKT) { $0.u.rkt = topic }
                        append(RD_KAFKA_VTYPE_MSGFLAGS) { $0.u.i = RD_KAFKA_MSG_F_COPY }
                        // An empty payload is one, and no payload is none: a compacted topic deletes the key then.
                        if record.value != nil { append(RD_KAFKA_VTYPE_VALUE) { $0.set(value) } }
                        if record.key != nil { append(RD_KAFKA_VTYPE_KEY) { $0.set(key) } }
                        if headers != nil { append(RD_KAFKA_VTYPE_HEADERS) { $0.u.headers = headers } }
                        append(RD_KAFKA_VTYPE_OPAQUE) { $0.u.ptr = opaque }
                        guard let error = rd_kafka_produceva(client, arguments.baseAddress, count) else {
                            return RD_KAFKA_RESP_ERR_NO_ERROR
                        }
                        defer { rd_kafka_error_destroy(error) }
                        return rd_kafka_error_code(error)
                    }
                }
            }
        }

        /// Reads a record; what is not text in its headers becomes text, see ``ForeignHeaders/text(of:)``.
        static func record(of message: rd_kafka_message_t, _ pointer: UnsafePointer<rd_kafka_message_t>) -> KafkaRecord
        {
            KafkaRecord(
                key: bytes(message.key, message.key_len), value: bytes(message.payload, message.len),
                headers: headers(of: pointer))
        }

        private static func bytes(_ pointer: UnsafeMutableRawPointer?, _ count: Int) -> Bytes? {
            pointer.map { Bytes(UnsafeRawBufferPointer(start: $0, count: count)) }
        }

        private static func headers(of message: UnsafePointer<rd_kafka_message_t>) -> [KafkaRecord.Header] {
            var list: OpaquePointer?
            guard rd_kafka_message_headers(message, &list) == RD_KAFKA_RESP_ERR_NO_ERROR, let list else { return [] }
            return headers(in: list)
        }

        static func headers(in list: OpaquePointer) -> [KafkaRecord.Header] {
            let count = rd_kafka_header_cnt(list)
            var headers: [KafkaRecord.Header] = []
            headers.reserveCapacity(count)
            for index in 0..<count {
                var name: UnsafePointer<CChar>?
                var value: UnsafeRawPointer?
                var size = 0
                guard
                    rd_kafka_header_get_all(list, index, &name, &value, &size) == RD_KAFKA_RESP_ERR_NO_ERROR, let name
                else { break }
                let bytes = UnsafeRawBufferPointer(start: value, count: value == nil ? 0 : size)
                headers.append(KafkaRecord.Header(name: String(cString: name), value: ForeignHeaders.text(of: bytes)))
            }
            return headers
        }

        // Never written to, and so safe to share.
        nonisolated(unsafe) static let emptyBytes = UnsafeMutablePointer<UInt8>.allocate(capacity: 1)
    }

    extension rd_kafka_vu_t {
        fileprivate static func make(_ type: rd_kafka_vtype_t, _ set: (inout rd_kafka_vu_t) -> Void) -> rd_kafka_vu_t {
            var argument = rd_kafka_vu_t()
            argument.vtype = type
            set(&argument)
            return argument
        }

        fileprivate mutating func set(_ bytes: UnsafeRawBufferPointer) {
            // An empty array has no address, and librdkafka takes none for none.
            u.mem.ptr =
                bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) }
                ?? UnsafeMutableRawPointer(KafkaWriter.emptyBytes)
            u.mem.size = bytes.count
        }
    }
#endif
