// SPDX-License-Identifier: Apache-2.0

/// Headers of a broker's messages that are none of an event's, and those of messages that are no event.
package enum ForeignHeaders {
    package typealias Header = CloudEventsBinaryFormat.Header

    /// Keeps the headers that others put beside those of the event, such as the trace context of their tracing.
    package static func takeOver(_ foreign: [Header], into attributes: inout EnvelopeAttributes) {
        if foreign.isEmpty { return }
        if attributes.trace == nil {
            attributes.trace = TraceContext.extract(from: foreign.map { (name: $0.name, value: $0.value) })
        }
        var own = attributes.headers
        for header in numbered(foreign) where own[header.name] == nil { own[header.name] = header.value }
        attributes.headers = own
    }

    /// Headers of which each name is there once: the second of a name `x` is called `x#2`, or `x#3` if there is one called so.
    ///
    /// A text with the character zero is kept as bytes that are no text are, see ``text(of:)``. It is most often a number in
    /// binary form, and not every database keeps it as a text.
    package static func numbered(_ headers: [Header]) -> Headers {
        // By their bytes: two ways to write an accent are two names.
        var taken: Set<Bytes> = []
        var counts: [Bytes: Int] = [:]
        return Headers(
            headers.map { header in
                let original = withoutZero(header.name)
                let key = Bytes(original.lowercasedASCII.utf8)
                var name = original
                while !taken.insert(Bytes(name.lowercasedASCII.utf8)).inserted {
                    let count = counts[key, default: 1] + 1
                    counts[key] = count
                    name = "\(original)#\(count)"
                }
                return Header(name: name, value: withoutZero(header.value))
            })
    }

    /// Bytes as the value of a header: as text if they are text, and otherwise as a
    /// [data URL](https://www.rfc-editor.org/rfc/rfc2397).
    package static func text(of bytes: some Collection<UInt8>) -> String {
        String(validating: bytes, as: UTF8.self) ?? dataURL(of: bytes)
    }

    private static func withoutZero(_ text: String) -> String {
        text.has(byte: 0) ? dataURL(of: text.utf8) : text
    }

    private static func dataURL(of bytes: some Collection<UInt8>) -> String {
        var letters = Array("data:;base64,".utf8)
        Base64.append(Array(bytes), to: &letters)
        return String(decoding: letters, as: UTF8.self)
    }
}
