// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore

    /// A place in the log of a server.
    struct LogPosition: Sendable, Hashable, Comparable, CustomStringConvertible {
        var number: UInt64

        static let zero = LogPosition(number: 0)

        static func < (left: Self, right: Self) -> Bool { left.number < right.number }

        /// As PostgreSQL writes it.
        var description: String {
            String(number >> 32, radix: 16, uppercase: true) + "/"
                + String(number & 0xffff_ffff, radix: 16, uppercase: true)
        }
    }

    /// Bytes that are not what the server is supposed to send.
    struct LogFormatError: Error {
        let what: String
    }

    /// What comes through a replication connection: a piece of the log, or a sign of life.
    enum LogFrame: Sendable, Equatable {
        /// A message of `pgoutput`, and its place in the log.
        case data(Bytes, at: LogPosition)
        /// How far the log goes, and whether the server wants an answer at once.
        case keepAlive(end: LogPosition, wantsReply: Bool)

        init(_ bytes: Bytes) throws(LogFormatError) {
            var reader = LogReader(bytes)
            switch try reader.byte() {
            case UInt8(ascii: "w"):
                let position = LogPosition(number: try reader.uint64())
                for _ in 0..<2 { _ = try reader.uint64() }
                self = .data(reader.rest(), at: position)
            case UInt8(ascii: "k"):
                let end = LogPosition(number: try reader.uint64())
                _ = try reader.uint64()
                self = .keepAlive(end: end, wantsReply: try reader.byte() != 0)
            default: throw LogFormatError(what: "a frame of an unknown kind")
            }
        }
    }

    enum LogTime {
        /// The beginning of PostgreSQL's time, the year 2000, in microseconds since 1970.
        static let epoch: Int64 = 946_684_800_000_000
    }

    /// One message of `pgoutput`, the form in which PostgreSQL tells what was committed.
    enum LogMessage: Sendable, Equatable {
        struct Column: Sendable, Equatable {
            let name: String
            let type: UInt32
        }

        /// A value of a row, as text; `nil` if there is none or it was not sent.
        typealias Row = [Bytes?]

        /// Where its commit stands in the log, which orders transactions, and when it was, in microseconds since 1970.
        case begin(commit: LogPosition, committedAt: Int64)
        /// Where the log goes on behind the transaction.
        case commit(end: LogPosition)
        case message(prefix: String, content: Bytes, position: LogPosition)
        case relation(id: UInt32, schema: String, name: String, columns: [Column])
        case insert(relation: UInt32, row: Row)
        /// Something that is of no interest here.
        case other(UInt8)

        init(_ bytes: Bytes) throws(LogFormatError) {
            var reader = LogReader(bytes)
            let kind = try reader.byte()
            switch kind {
            case UInt8(ascii: "B"):
                let commit = LogPosition(number: try reader.uint64())
                let time = Int64(bitPattern: try reader.uint64())
                _ = try reader.uint32()
                self = .begin(commit: commit, committedAt: time &+ LogTime.epoch)
            case UInt8(ascii: "C"):
                _ = try reader.byte()
                _ = try reader.uint64()
                self = .commit(end: LogPosition(number: try reader.uint64()))
            case UInt8(ascii: "M"):
                _ = try reader.byte()
                let position = LogPosition(number: try reader.uint64())
                let prefix = try reader.text()
                self = .message(prefix: prefix, content: try reader.bytes(Int(try reader.uint32())), position: position)
            case UInt8(ascii: "R"):
                let id = try reader.uint32()
                let schema = try reader.text()
                let name = try reader.text()
                _ = try reader.byte()
                var columns: [Column] = []
                for _ in 0..<(try reader.uint16()) {
                    _ = try reader.byte()
                    let column = try reader.text()
                    columns.append(Column(name: column, type: try reader.uint32()))
                    _ = try reader.uint32()
                }
                self = .relation(id: id, schema: schema, name: name, columns: columns)
            case UInt8(ascii: "I"):
                let relation = try reader.uint32()
                guard try reader.byte() == UInt8(ascii: "N") else {
                    throw LogFormatError(what: "a row without its values")
                }
                self = .insert(relation: relation, row: try Self.row(&reader))
            default: self = .other(kind)
            }
        }

        private static func row(_ reader: inout LogReader) throws(LogFormatError) -> Row {
            var row: Row = []
            for _ in 0..<(try reader.uint16()) {
                switch try reader.byte() {
                case UInt8(ascii: "n"), UInt8(ascii: "u"): row.append(nil)
                case UInt8(ascii: "t"), UInt8(ascii: "b"): row.append(try reader.bytes(Int(try reader.uint32())))
                default: throw LogFormatError(what: "a value of an unknown kind")
                }
            }
            return row
        }
    }

    /// Reads numbers and texts from bytes, the highest byte first, and never past their end.
    struct LogReader {
        private let all: Bytes
        private var place = 0

        init(_ bytes: Bytes) {
            all = bytes
        }

        mutating func byte() throws(LogFormatError) -> UInt8 {
            guard place < all.count else { throw LogFormatError(what: "too few bytes") }
            defer { place += 1 }
            return all[place]
        }

        mutating func uint16() throws(LogFormatError) -> UInt16 { UInt16(truncatingIfNeeded: try number(2)) }
        mutating func uint32() throws(LogFormatError) -> UInt32 { UInt32(truncatingIfNeeded: try number(4)) }
        mutating func uint64() throws(LogFormatError) -> UInt64 { try number(8) }

        private mutating func number(_ count: Int) throws(LogFormatError) -> UInt64 {
            guard count <= all.count - place else { throw LogFormatError(what: "too few bytes") }
            defer { place += count }
            return all[place..<(place + count)].reduce(0) { $0 << 8 | UInt64($1) }
        }

        mutating func bytes(_ count: Int) throws(LogFormatError) -> Bytes {
            guard count <= all.count - place else { throw LogFormatError(what: "too few bytes") }
            defer { place += count }
            return Bytes(all[place..<(place + count)])
        }

        /// A text that ends with a zero.
        mutating func text() throws(LogFormatError) -> String {
            guard let end = all[place...].firstIndex(of: 0) else { throw LogFormatError(what: "a text without an end") }
            defer { place = end + 1 }
            return String(decoding: all[place..<end], as: UTF8.self)
        }

        mutating func rest() -> Bytes {
            defer { place = all.count }
            return Bytes(all[place...])
        }
    }
#endif
