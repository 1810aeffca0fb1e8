// SPDX-License-Identifier: Apache-2.0

import Foundation
import Synchronization

/// A stream of orders from a file or standard input, read line by line and never held as a whole.
struct OrderFile: ~Copyable {
    /// What a line turned out to be.
    enum Line {
        case order(OrderLine, number: Int)
        case unreadable(number: Int, text: [UInt8], reason: String)
    }

    /// A file that cannot be opened or read.
    struct Missing: Error {
        let message: String
    }

    private enum Format {
        case json
        case csv(columns: [String: Int])
    }

    static let columns = ["orderID", "customerID", "sku", "quantity", "cents", "placedAt"]

    let name: String
    private var lines: LineReader
    private var format: Format?
    private var number = 0

    init(path: String) throws(Missing) {
        name = path == "-" ? "standard input" : path
        lines = try LineReader(path: path)
    }

    /// The next line that is not blank; `nil` at the end.
    mutating func next() throws(Missing) -> Line? {
        while let (bytes, isComplete) = try lines.next() {
            number += 1
            guard isComplete else {
                return .unreadable(
                    number: number, text: bytes, reason: "the line is longer than \(LineReader.mostBytes) bytes")
            }
            guard let text = String(validating: bytes, as: UTF8.self) else {
                return .unreadable(number: number, text: bytes, reason: "the line is not UTF-8")
            }
            if text.allSatisfy(\.isWhitespace) { continue }
            do throws(OrderLine.Unreadable) {
                if let order = try order(from: text) { return .order(order, number: number) }
            } catch {
                return .unreadable(number: number, text: bytes, reason: error.reason)
            }
        }
        return nil
    }

    /// Reads one line; `nil` for the header of a CSV file.
    private mutating func order(from text: String) throws(OrderLine.Unreadable) -> OrderLine? {
        switch format {
        case .json: return try OrderLine(json: text)
        case .csv(let columns):
            let values = try fields(of: text)
            guard values.count == columns.count else {
                throw OrderLine.Unreadable(
                    reason: "the line has \(values.count) fields, the header has \(columns.count)")
            }
            return try OrderLine(csv: values, columns: columns)
        case nil:
            if text.drop(while: \.isWhitespace).first != "{", let header = try? fields(of: text), isHeader(header) {
                format = .csv(
                    columns: Dictionary(header.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first }))
                return nil
            }
            // A first line that is neither an object nor a header is reported and the lines after it are tried as JSON.
            format = .json
            return try OrderLine(json: text)
        }
    }

    private func isHeader(_ fields: [String]) -> Bool {
        Set(fields).isSuperset(of: Self.columns) && Set(fields).count == fields.count
    }

    /// The fields of a line of CSV, with quotes as in RFC 4180.
    private func fields(of line: String) throws(OrderLine.Unreadable) -> [String] {
        var fields: [String] = []
        var field = ""
        var rest = line[...]
        while true {
            if rest.first == "\"" {
                rest.removeFirst()
                quoted: while true {
                    guard let character = rest.popFirst() else {
                        throw OrderLine.Unreadable(reason: "a quoted field does not end on its line")
                    }
                    guard character == "\"" else {
                        field.append(character)
                        continue
                    }
                    guard rest.first == "\"" else { break quoted }
                    field.append(rest.removeFirst())
                }
                guard rest.first == nil || rest.first == "," else {
                    throw OrderLine.Unreadable(reason: "a quoted field is followed by something other than a comma")
                }
            } else {
                while let character = rest.first, character != "," {
                    field.append(character)
                    rest.removeFirst()
                }
                field = field.trimmingCharacters(in: .whitespaces)
            }
            fields.append(field)
            field = ""
            guard rest.popFirst() != nil else { return fields }
        }
    }
}

/// Carries an open file into the task that reads it.
final class OpenFile: Sendable {
    let name: String
    private let file: Mutex<OrderFile?>

    init(_ file: consuming sending OrderFile) {
        name = file.name
        self.file = Mutex(consume file)
    }

    /// Hands the file over, once.
    func take() throws(OrderFile.Missing) -> OrderFile {
        guard let file = file.withLock({ $0.take() }) else {
            throw OrderFile.Missing(message: "the file of orders is being read already")
        }
        return file
    }
}

/// The lines of a file, without their ends.
struct LineReader: ~Copyable {
    /// The longest line that is read whole.
    static let mostBytes = 1 << 20

    private let descriptor: Int32
    private let name: String
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    private var isAtBeginning = true

    init(path: String) throws(OrderFile.Missing) {
        name = path
        guard path != "-" else {
            descriptor = 0
            return
        }
        descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw OrderFile.Missing(message: "cannot read '\(path)': \(String(cString: strerror(errno)))")
        }
    }

    deinit {
        if descriptor > 0 { close(descriptor) }
    }

    /// The next line, and whether it is whole; a line that is too long comes cut.
    mutating func next() throws(OrderFile.Missing) -> (bytes: [UInt8], isComplete: Bool)? {
        var isCut = false
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { start = end + 1 }
                return (line(upTo: end), !isCut)
            }
            if isAtEnd {
                guard start < buffer.count || isCut else { return nil }
                defer { start = buffer.count }
                return (line(upTo: buffer.count), !isCut)
            }
            if buffer.count - start > Self.mostBytes {
                isCut = true
                buffer.removeLast(buffer.count - start - Self.mostBytes)
            }
            searched = buffer.count
            if start > 0 {
                buffer.removeFirst(start)
                searched -= start
                start = 0
            }
            try fill()
        }
    }

    private mutating func line(upTo end: Int) -> [UInt8] {
        var line = buffer[start..<end].prefix(Self.mostBytes)
        if line.last == UInt8(ascii: "\r") { line.removeLast() }
        if isAtBeginning {
            isAtBeginning = false
            // The byte order mark that some spreadsheets write.
            if line.starts(with: [0xEF, 0xBB, 0xBF]) { line = line.dropFirst(3) }
        }
        return Array(line)
    }

    private mutating func fill() throws(OrderFile.Missing) {
        var failure: Int32?
        let chunk = [UInt8](unsafeUninitializedCapacity: 1 << 16) { memory, count in
            var got = -1
            repeat { got = read(descriptor, memory.baseAddress, memory.count) } while got < 0 && errno == EINTR
            if got < 0 { failure = errno }
            count = max(0, got)
        }
        if let failure {
            throw OrderFile.Missing(message: "cannot read '\(name)': \(String(cString: strerror(failure)))")
        }
        isAtEnd = chunk.isEmpty
        buffer += chunk
    }
}
