// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQL
    import DovetailCore
    import DovetailSQL

    /// Reads the rows of a result.
    enum PostgresRows {
        /// The kinds of columns, by their numbers in every PostgreSQL.
        enum Kind: UInt32 {
            case bool = 16
            case bytea = 17
            case name = 19
            case int8 = 20
            case int2 = 21
            case int4 = 23
            case text = 25
            case oid = 26
            case json = 114
            case float4 = 700
            case float8 = 701
            case bpchar = 1042
            case varchar = 1043
            case numeric = 1700
            case void = 2278

            /// Whether its bytes are read here; of all others the text is.
            var isReadAsBytes: Bool { self != .numeric }
        }

        static func columns(of result: OpaquePointer) -> SQLRow.Columns {
            SQLRow.Columns(
                (0..<PQnfields(result)).map { PQfname(result, $0).map { String(cString: $0) } ?? "" })
        }

        static func kinds(of result: OpaquePointer) -> [Kind?] {
            (0..<PQnfields(result)).map { Kind(rawValue: PQftype(result, $0)) }
        }

        /// Reads all rows.
        static func read(_ result: OpaquePointer, _ columns: SQLRow.Columns, _ kinds: [Kind?]) -> [SQLRow] {
            let isBinary = PQbinaryTuples(result) == 1
            let rows = PQntuples(result)
            var read: [SQLRow] = []
            read.reserveCapacity(Int(rows))
            for row in 0..<rows {
                let values = [SQLValue](unsafeUninitializedCapacity: kinds.count) { buffer, initialized in
                    for column in kinds.indices {
                        buffer.initializeElement(
                            at: column,
                            to: value(result, row, Int32(column), kinds[column], isBinary: isBinary))
                    }
                    initialized = kinds.count
                }
                read.append(SQLRow(columns: columns, values: values))
            }
            return read
        }

        private static func value(
            _ result: OpaquePointer, _ row: Int32, _ column: Int32, _ kind: Kind?, isBinary: Bool
        ) -> SQLValue {
            guard PQgetisnull(result, row, column) == 0, let start = PQgetvalue(result, row, column) else {
                return .null
            }
            let bytes = UnsafeRawBufferPointer(start: start, count: Int(PQgetlength(result, row, column)))
            return isBinary ? binary(bytes, kind) : text(bytes, kind)
        }

        private static func binary(_ bytes: UnsafeRawBufferPointer, _ kind: Kind?) -> SQLValue {
            switch kind {
            case .bool: .integer(bytes.first == 0 ? 0 : 1)
            case .int2: .integer(Int64(Int16(truncatingIfNeeded: number(bytes))))
            case .int4: .integer(Int64(Int32(truncatingIfNeeded: number(bytes))))
            case .int8: .integer(Int64(bitPattern: number(bytes)))
            case .oid: .integer(Int64(UInt32(truncatingIfNeeded: number(bytes))))
            case .float4: .real(Double(Float(bitPattern: UInt32(truncatingIfNeeded: number(bytes)))))
            case .float8: .real(Double(bitPattern: number(bytes)))
            case .bytea: .bytes(Bytes(bytes))
            case .name, .text, .json, .bpchar, .varchar, .numeric, .void, nil:
                .text(String(decoding: bytes, as: UTF8.self))
            }
        }

        /// The highest byte first.
        private static func number(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
            bytes.reduce(0) { $0 << 8 | UInt64($1) }
        }

        private static func text(_ bytes: UnsafeRawBufferPointer, _ kind: Kind?) -> SQLValue {
            let text = String(decoding: bytes, as: UTF8.self)
            switch kind {
            case .bool: return .integer(text == "t" ? 1 : 0)
            case .int2, .int4, .int8, .oid: return Int64(text).map { .integer($0) } ?? .text(text)
            case .float4, .float8: return Double(text).map { .real($0) } ?? .text(text)
            // A sum or count is one; a price is text, which loses nothing.
            case .numeric: return Int64(text).map { .integer($0) } ?? .text(text)
            case .bytea: return .bytes(unescaped(text))
            case .name, .text, .json, .bpchar, .varchar, .void, nil: return .text(text)
            }
        }

        static func unescaped(_ text: String) -> Bytes {
            var count = 0
            guard let start = PQunescapeBytea(text, &count) else { return [] }
            defer { PQfreemem(start) }
            return Bytes(UnsafeRawBufferPointer(start: start, count: count))
        }
    }
#endif
