// SPDX-License-Identifier: Apache-2.0

/// The extension attribute `dovetailheaders`: all headers as a JSON object of strings, in order.
///
/// Each way has a short cut for headers without escapes, which is nearly all: with it this text costs as much as all other
/// attributes together, without it several times that.
extension Headers {
    /// The text of the attribute.
    var cloudEventText: String {
        // Each header has four quotes, a colon, and a brace or a comma before it.
        let length = elements.reduce(1) { $0 + $1.name.utf8.count + $1.value.utf8.count + 6 }
        let plain = String(unsafeUninitializedCapacity: length) { buffer in
            var count = 0
            for header in elements {
                buffer[count] = count == 0 ? UInt8(ascii: "{") : UInt8(ascii: ",")
                guard Self.put(header.name, in: buffer, at: &count, followedBy: UInt8(ascii: ":")),
                    Self.put(header.value, in: buffer, at: &count, followedBy: UInt8(ascii: "}"))
                else { return 0 }
            }
            return count + 1
        }
        return plain.isEmpty ? escapedText : plain
    }

    /// Puts a text in quotes behind the byte at an index, with a byte behind it, and moves the index to that byte; `false`
    /// if the text needs escapes.
    private static func put(
        _ text: String, in buffer: UnsafeMutableBufferPointer<UInt8>, at index: inout Int, followedBy next: UInt8
    ) -> Bool {
        let start = index + 2
        let length = text.utf8.withContiguousStorageIfAvailable { text -> Int? in
            guard JSONStringScan.skipPlain(text, from: 0) == text.count else { return nil }
            UnsafeMutableRawBufferPointer(rebasing: UnsafeMutableRawBufferPointer(buffer)[start...])
                .copyMemory(from: UnsafeRawBufferPointer(text))
            return text.count
        }
        guard case let length?? = length else { return false }
        buffer[start - 1] = UInt8(ascii: "\"")
        buffer[start + length] = UInt8(ascii: "\"")
        index = start + length + 1
        buffer[index] = next
        return true
    }

    private var escapedText: String {
        var bytes: Bytes = [UInt8(ascii: "{")]
        var isFirst = true
        for header in elements {
            JSONWriter.appendKey(header.name, isFirst: &isFirst, to: &bytes)
            JSONWriter.append(header.value, to: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Reads the text of the attribute.
    ///
    /// The result is `nil` unless the text is a JSON object with at least one member, whose values are strings and whose
    /// names differ: only then is nothing of it lost.
    init?(cloudEventText text: String) {
        let plain = text.utf8.withContiguousStorageIfAvailable { Self.plainElements(of: $0) }
        guard let elements = (plain ?? nil) ?? Self.elements(of: text), !elements.isEmpty else { return nil }
        self.init(elements)
        guard count == elements.count else { return nil }
    }

    /// Tells whether a name or a value has the character zero.
    ///
    /// - Parameter text: The text of the attribute, in which only an escape can stand for one.
    /// - Returns: Whether one has it.
    func hasZero(writtenAs text: String) -> Bool {
        text.has(byte: UInt8(ascii: "\\")) && elements.contains { $0.name.has(byte: 0) || $0.value.has(byte: 0) }
    }

    /// Reads a text that has neither escapes nor white space between its parts; `nil` for any other.
    private static func plainElements(of text: UnsafeBufferPointer<UInt8>) -> [Element]? {
        var elements: [Element] = []
        elements.reserveCapacity(4)
        var index = 0
        while skip(elements.isEmpty ? UInt8(ascii: "{") : UInt8(ascii: ","), in: text, at: &index) {
            guard let name = plainString(in: text, at: &index), skip(UInt8(ascii: ":"), in: text, at: &index),
                let value = plainString(in: text, at: &index)
            else { return nil }
            elements.append(Element(name: name, value: value))
        }
        return skip(UInt8(ascii: "}"), in: text, at: &index) && index == text.count ? elements : nil
    }

    private static func skip(_ byte: UInt8, in text: UnsafeBufferPointer<UInt8>, at index: inout Int) -> Bool {
        guard index < text.count, text[index] == byte else { return false }
        index += 1
        return true
    }

    private static func plainString(in text: UnsafeBufferPointer<UInt8>, at index: inout Int) -> String? {
        guard skip(UInt8(ascii: "\""), in: text, at: &index),
            let (end, hasEscapes) = try? JSONStringScan.scan(text, from: index), !hasEscapes
        else { return nil }
        let content = UnsafeBufferPointer(rebasing: text[index..<end - 1])
        index = end
        // Quicker than decoding, which makes ready to repair.
        return String(unsafeUninitializedCapacity: content.count) { buffer in
            UnsafeMutableRawBufferPointer(buffer).copyMemory(from: UnsafeRawBufferPointer(content))
            return content.count
        }
    }

    private static func elements(of text: String) -> [Element]? {
        var scanner = JSONScanner(Array(text.utf8))
        var elements: [Element] = []
        do {
            var object = try scanner.beginObject()
            while let name = try scanner.nextKey(&object) {
                elements.append(Element(name: name, value: try scanner.parseString()))
            }
            try scanner.checkEnd()
        } catch {
            return nil
        }
        return elements
    }
}
