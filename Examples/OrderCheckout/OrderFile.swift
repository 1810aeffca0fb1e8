// SPDX-License-Identifier: Apache-2.0

import ExampleSupport
import Foundation
import Synchronization

/// A stream of orders from a file or standard input, read line by line and never held as a whole.
struct OrderFile: ~Copyable {
    /// What a line turned out to be.
    enum Line {
        case order(OrderLine, number: Int, text: [UInt8])
        case unreadable(number: Int, text: [UInt8], reason: String)
    }

    /// A file that cannot be opened or read.
    struct Missing: Error {
        let message: String
    }

    private enum Format {
        case json
        case csv(columns: [String: Int], count: Int)
        /// A CSV file with a header that does not say where the fields of an order are, and why it does not.
        case headless(OrderLine.Unreadable)
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
    ///
    /// - Throws: ``Missing``; `CancellationError` if the task is cancelled while there is nothing to read.
    mutating func next() throws -> Line? {
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
                if let order = try order(from: text) { return .order(order, number: number, text: bytes) }
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
        case .csv(let columns, let count):
            let values = try fields(of: text)
            guard values.count == count else {
                throw OrderLine.Unreadable(reason: "the line has \(values.count) fields, the header has \(count)")
            }
            return try OrderLine(csv: values, columns: columns)
        case .headless(let problem):
            guard looksLikeJSON(text) else { throw problem }
            return try OrderLine(json: text)
        case nil:
            // A first line that is neither JSON nor a header is reported and the lines after it are tried as JSON.
            guard !looksLikeJSON(text), text.contains(",") else {
                format = .json
                return try OrderLine(json: text)
            }
            do throws(OrderLine.Unreadable) {
                let header = try fields(of: text)
                format = .csv(columns: try columns(of: header), count: header.count)
                return nil
            } catch {
                format = .headless(error)
                throw error
            }
        }
    }

    private func looksLikeJSON(_ text: String) -> Bool {
        let first = text.drop(while: \.isWhitespace).first
        return first == "{" || first == "["
    }

    /// Where the fields of an order are; columns beside them may have any name, or none, and be there twice.
    private func columns(of header: [String]) throws(OrderLine.Unreadable) -> [String: Int] {
        let lacking = Self.columns.filter { !header.contains($0) }
        let repeated = Self.columns.filter { name in header.count(where: { $0 == name }) > 1 }
        var problems: [String] = []
        if !lacking.isEmpty { problems.append("lacks " + quoted(lacking)) }
        if !repeated.isEmpty { problems.append("has more than one " + quoted(repeated)) }
        guard problems.isEmpty else {
            throw OrderLine.Unreadable(reason: "the header " + problems.joined(separator: " and "))
        }
        return Dictionary(header.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    }

    private func quoted(_ names: [String]) -> String { names.map { "'\($0)'" }.inWords("and") }

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
    mutating func next() throws -> (bytes: [UInt8], isComplete: Bool)? {
        var isCut = false
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { start = end + 1 }
                // What came with its end may be too long without having been cut before.
                return (line(upTo: end), !isCut && end - start <= Self.mostBytes)
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

    private mutating func fill() throws {
        try waitForInput()
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

    /// Waits until there is something to read, or the end.
    ///
    /// A read would wait as well, but would not notice that nobody wants the lines any more.
    private func waitForInput() throws {
        var entry = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
        while true {
            let count = poll(&entry, 1, 100)
            // What is wrong with the file, the read that follows tells.
            guard count == 0 || (count < 0 && errno == EINTR) else { return }
            try Task.checkCancellation()
        }
    }
}
