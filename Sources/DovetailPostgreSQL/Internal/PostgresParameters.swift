// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    import DovetailSQL

    /// The values of a statement as libpq takes them.
    ///
    /// What kind of value a parameter is the server finds out from the statement. Numbers and text are sent as text, which fits every
    /// kind: a text may be a UUID, a date or JSON, and a number a truth value. Bytes are sent as they are.
    struct PostgresParameters {
        /// The most parameters that a statement may have.
        static var most: Int { 65535 }

        private var storage: [UInt8] = []
        /// Where each value begins; -1 for the absence of one.
        private var starts: [Int] = []
        private var lengths: [Int32] = []
        private var formats: [Int32] = []

        /// Takes the values of a statement in the place of those before.
        mutating func set(_ values: [SQLValue], of statement: String) throws {
            storage.removeAll(keepingCapacity: true)
            starts.removeAll(keepingCapacity: true)
            lengths.removeAll(keepingCapacity: true)
            formats.removeAll(keepingCapacity: true)
            guard values.count <= Self.most else {
                throw DatabaseError(
                    .invalidStatement,
                    "A statement has \(values.count) values, and PostgreSQL takes \(Self.most). Use several statements."
                )
            }
            for value in values {
                let start = storage.count
                switch value {
                case .null: add(start: -1, isBinary: false)
                case .integer(let number):
                    storage += String(number).utf8
                    add(start: start, isBinary: false)
                case .real(let number):
                    storage += String(number).utf8
                    add(start: start, isBinary: false)
                case .text(let text):
                    storage += text.utf8
                    guard !storage[start...].contains(0) else {
                        throw DatabaseError(
                            .unencodableRow,
                            "PostgreSQL keeps no text with the character U+0000 in it. Keep it as bytes. (in: "
                                + "\(PostgresFailure.excerpt(of: statement)))"
                        )
                    }
                    add(start: start, isBinary: false)
                case .bytes(let bytes):
                    storage += bytes
                    add(start: start, isBinary: true)
                }
            }
        }

        private mutating func add(start: Int, isBinary: Bool) {
            starts.append(start)
            lengths.append(start < 0 ? 0 : Int32(clamping: storage.count - start))
            formats.append(isBinary ? 1 : 0)
            // The length of a text is where it ends.
            if !isBinary { storage.append(0) }
        }

        /// The values in the form of C.
        func withPointers<Result>(
            _ body: (
                _ count: Int32, _ values: UnsafePointer<UnsafePointer<CChar>?>?, _ lengths: UnsafePointer<Int32>?,
                _ formats: UnsafePointer<Int32>?
            ) -> Result
        ) -> Result {
            storage.withUnsafeBytes { raw in
                let base = raw.baseAddress?.assumingMemoryBound(to: CChar.self)
                let values = starts.map { start in start < 0 ? nil : base.map { $0 + start } }
                return values.withUnsafeBufferPointer { values in
                    lengths.withUnsafeBufferPointer { lengths in
                        formats.withUnsafeBufferPointer { formats in
                            body(Int32(values.count), values.baseAddress, lengths.baseAddress, formats.baseAddress)
                        }
                    }
                }
            }
        }
    }
#endif
