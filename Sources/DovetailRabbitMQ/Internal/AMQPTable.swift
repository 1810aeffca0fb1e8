// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import CRabbitMQ
    import DovetailCore

    /// Tables, texts and bytes from and to the memory of librabbitmq.
    enum AMQPTable {
        enum Value {
            case text(String)
            case integer(Int64)
            case boolean(Bool)
            /// A table within the table; it must live as long.
            case table(amqp_table_t)
        }

        /// Calls a body with a table that lives as long as the call.
        static func with<Result>(
            _ entries: [(name: String, value: Value)], _ body: (amqp_table_t) throws -> Result
        ) rethrows -> Result {
            var bytes: [UInt8] = []
            var places: [(name: Range<Int>, value: Range<Int>)] = []
            places.reserveCapacity(entries.count)
            func append(_ text: String) -> Range<Int> {
                let start = bytes.count
                bytes.append(contentsOf: text.utf8)
                return start..<bytes.count
            }
            for entry in entries {
                let name = append(entry.name)
                if case .text(let text) = entry.value {
                    places.append((name, append(text)))
                } else {
                    places.append((name, 0..<0))
                }
            }
            // Never without an address.
            bytes.append(0)
            return try bytes.withUnsafeMutableBytes { bytes in
                func part(_ range: Range<Int>) -> amqp_bytes_t {
                    amqp_bytes_t(len: range.count, bytes: bytes.baseAddress?.advanced(by: range.lowerBound))
                }
                var table: [amqp_table_entry_t] = []
                table.reserveCapacity(entries.count)
                for (entry, place) in zip(entries, places) {
                    var field = amqp_field_value_t()
                    switch entry.value {
                    case .text:
                        field.kind = UInt8(AMQP_FIELD_KIND_UTF8.rawValue)
                        field.value.bytes = part(place.value)
                    case .integer(let number):
                        field.kind = UInt8(AMQP_FIELD_KIND_I64.rawValue)
                        field.value.i64 = number
                    case .boolean(let isTrue):
                        field.kind = UInt8(AMQP_FIELD_KIND_BOOLEAN.rawValue)
                        field.value.boolean = isTrue ? 1 : 0
                    case .table(let table):
                        field.kind = UInt8(AMQP_FIELD_KIND_TABLE.rawValue)
                        field.value.table = table
                    }
                    table.append(amqp_table_entry_t(key: part(place.name), value: field))
                }
                return try table.withUnsafeMutableBufferPointer { table in
                    try body(amqp_table_t(num_entries: Int32(table.count), entries: table.baseAddress))
                }
            }
        }

        /// Calls a body with a text that lives as long as the call.
        static func with<Result>(_ text: String, _ body: (amqp_bytes_t) throws -> Result) rethrows -> Result {
            var text = text
            return try text.withUTF8 { try with(UnsafeRawBufferPointer($0), body) }
        }

        /// Calls a body with bytes that live as long as the call.
        static func with<Result>(
            _ bytes: UnsafeRawBufferPointer, _ body: (amqp_bytes_t) throws -> Result
        ) rethrows -> Result {
            try body(
                amqp_bytes_t(len: bytes.count, bytes: bytes.baseAddress.map { UnsafeMutableRawPointer(mutating: $0) }))
        }

        // MARK: Reading

        static func bytes(_ bytes: amqp_bytes_t) -> UnsafeRawBufferPointer {
            UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.bytes == nil ? 0 : bytes.len)
        }

        static func text(_ bytes: amqp_bytes_t) -> String { ForeignHeaders.text(of: self.bytes(bytes)) }

        /// Reads a table, with each value as text.
        static func headers(of table: amqp_table_t) -> [AMQPMessage.Header] {
            guard table.num_entries > 0, let entries = table.entries else { return [] }
            return UnsafeBufferPointer(start: entries, count: Int(table.num_entries)).map { entry in
                AMQPMessage.Header(name: text(entry.key), value: text(of: entry.value, depth: 0))
            }
        }

        /// The text of a value; of one that holds others, as a list of them.
        private static func text(of value: amqp_field_value_t, depth: Int) -> String {
            switch UInt32(value.kind) {
            case AMQP_FIELD_KIND_UTF8.rawValue, AMQP_FIELD_KIND_BYTES.rawValue: text(value.value.bytes)
            case AMQP_FIELD_KIND_BOOLEAN.rawValue: value.value.boolean != 0 ? "true" : "false"
            case AMQP_FIELD_KIND_I8.rawValue: "\(value.value.i8)"
            case AMQP_FIELD_KIND_U8.rawValue: "\(value.value.u8)"
            case AMQP_FIELD_KIND_I16.rawValue: "\(value.value.i16)"
            case AMQP_FIELD_KIND_U16.rawValue: "\(value.value.u16)"
            case AMQP_FIELD_KIND_I32.rawValue: "\(value.value.i32)"
            case AMQP_FIELD_KIND_U32.rawValue: "\(value.value.u32)"
            case AMQP_FIELD_KIND_I64.rawValue: "\(value.value.i64)"
            case AMQP_FIELD_KIND_U64.rawValue: "\(value.value.u64)"
            case AMQP_FIELD_KIND_F32.rawValue: "\(value.value.f32)"
            case AMQP_FIELD_KIND_F64.rawValue: "\(value.value.f64)"
            case AMQP_FIELD_KIND_TIMESTAMP.rawValue: time(value.value.u64)
            case AMQP_FIELD_KIND_TABLE.rawValue where depth < 8: table(value.value.table, depth: depth)
            case AMQP_FIELD_KIND_ARRAY.rawValue where depth < 8: array(value.value.array, depth: depth)
            default: ""
            }
        }

        private static func time(_ seconds: UInt64) -> String {
            Timestamp(secondsSinceEpoch: Int64(clamping: seconds)).rfc3339
        }

        private static func table(_ table: amqp_table_t, depth: Int) -> String {
            guard let entries = table.entries else { return "{}" }
            let parts = UnsafeBufferPointer(start: entries, count: Int(max(0, table.num_entries))).map {
                "\(text($0.key)): \(text(of: $0.value, depth: depth + 1))"
            }
            return "{\(parts.joined(separator: ", "))}"
        }

        private static func array(_ array: amqp_array_t, depth: Int) -> String {
            guard let entries = array.entries else { return "[]" }
            let parts = UnsafeBufferPointer(start: entries, count: Int(max(0, array.num_entries))).map {
                text(of: $0, depth: depth + 1)
            }
            return "[\(parts.joined(separator: ", "))]"
        }
    }
#endif
