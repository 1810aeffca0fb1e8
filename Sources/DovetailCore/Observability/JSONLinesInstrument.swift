// SPDX-License-Identifier: Apache-2.0

import Synchronization

#if canImport(Darwin)
    import Darwin
#elseif canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// Writes each event as a line of JSON.
///
/// A line has the time, the name of the event, how many and how many seconds if the event says so, and all its attributes.
/// Each value passes the redactor of the runtime. Writing happens on the path of the message: give it a sink that does not
/// block for long.
///
/// ```swift
/// let base = Runtime(redactor: NoDigits())
/// let runtime = base.with(instrument: JSONLinesInstrument(fileDescriptor: STDERR_FILENO, runtime: base))
/// // {"time":"2026-03-01T09:30:00.250Z","event":"dovetail.message.handled","seconds":0.012,"attributes":{…}}
/// ```
public struct JSONLinesInstrument: Instrument {
    private let runtime: Runtime?
    private let write: @Sendable (String) -> Void

    /// Creates an instrument that hands lines to a sink.
    ///
    /// - Parameters:
    ///   - runtime: Where the time comes from, and whose redactor all values pass; the current task's if `nil`.
    ///   - write: Takes a line, without a line break. Called from many tasks at once.
    public init(runtime: Runtime? = nil, write: @escaping @Sendable (String) -> Void) {
        self.runtime = runtime
        self.write = write
    }

    /// Creates an instrument that writes lines to a file, whole and one after the other.
    ///
    /// What the file does not take is dropped: a log that is full cannot fail a message.
    ///
    /// - Parameters:
    ///   - fileDescriptor: The file, open for writing; it stays open.
    ///   - runtime: Where the time comes from, and whose redactor all values pass; the current task's if `nil`.
    public init(fileDescriptor: Int32, runtime: Runtime? = nil) {
        let file = LineFile(fileDescriptor)
        self.init(runtime: runtime) { file.write($0) }
    }

    /// Writes an event.
    ///
    /// - Parameter event: What happened.
    public func record<E: InstrumentEvent>(_ event: E) {
        let runtime = runtime ?? .current
        var attributes: [(name: StaticString, value: String)] = []
        event.visitDimensions { attributes.append(($0, $1)) }
        event.visitDetails { attributes.append(($0, $1)) }
        let type = attributes.first { $0.name.description == Self.typeName }.map { MessageType(rawValue: $0.value) }

        var line = Bytes()
        JSONWriter.append(literal: #"{"time":""#, to: &line)
        runtime.time.now().appendRFC3339(to: &line)
        JSONWriter.append(literal: #"","event":"#, to: &line)
        JSONWriter.append(E.name, to: &line)
        if event.count != 1 {
            JSONWriter.append(literal: #","count":"#, to: &line)
            JSONWriter.append(Int64(event.count), to: &line)
        }
        if let duration = event.duration {
            JSONWriter.append(literal: #","seconds":"#, to: &line)
            line.append(contentsOf: "\(duration.inSeconds)".utf8)
        }
        JSONWriter.append(literal: #","attributes":{"#, to: &line)
        var isFirst = true
        for (index, attribute) in attributes.enumerated() {
            let name = attribute.name.description
            // An event that visits an attribute twice must not make a key appear twice.
            if attributes[..<index].contains(where: { $0.name.description == name }) { continue }
            JSONWriter.appendKey(name, isFirst: &isFirst, to: &line)
            JSONWriter.append(runtime.redacted(attribute.value, of: type), to: &line)
        }
        JSONWriter.append(literal: "}}", to: &line)
        write(String(decoding: line, as: UTF8.self))
    }

    private static let typeName = "dovetail.message.type"
}

/// A file that takes whole lines.
private final class LineFile: Sendable {
    private let fileDescriptor: Mutex<Int32>

    init(_ fileDescriptor: Int32) {
        self.fileDescriptor = Mutex(fileDescriptor)
    }

    func write(_ line: String) {
        let bytes = Array(line.utf8) + [UInt8(ascii: "\n")]
        fileDescriptor.withLock { fileDescriptor in
            bytes.withUnsafeBytes { bytes in
                var rest = bytes[...]
                while let start = UnsafeRawBufferPointer(rebasing: rest).baseAddress {
                    let written = writeBytes(fileDescriptor, start, rest.count)
                    if written > 0 {
                        rest = rest.dropFirst(written)
                    } else if errno != EINTR {
                        return
                    }
                    if rest.isEmpty { return }
                }
            }
        }
    }
}

private func writeBytes(_ fileDescriptor: Int32, _ bytes: UnsafeRawPointer, _ count: Int) -> Int {
    #if canImport(Darwin)
        Darwin.write(fileDescriptor, bytes, count)
    #elseif canImport(Glibc)
        Glibc.write(fileDescriptor, bytes, count)
    #elseif canImport(Musl)
        Musl.write(fileDescriptor, bytes, count)
    #endif
}
