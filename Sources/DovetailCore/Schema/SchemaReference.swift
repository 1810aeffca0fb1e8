// SPDX-License-Identifier: Apache-2.0

/// The name of a schema that is kept elsewhere: a version of a subject, or an identifier.
///
/// On the wire it is a URI: `urn:dovetail:schema:version:SUBJECT:2`, `urn:dovetail:schema:id:7`, or the URI that another
/// system wrote, which is kept as it is.
public enum SchemaReference: Sendable, Hashable {
    /// A numbered version of a named line of schemas.
    case version(subject: String, Int)

    /// The identifier that a registry gave.
    case id(String)

    /// A URI that another system chose.
    case uri(String)

    /// Reads the text form.
    ///
    /// Any text that is not ours is a URI.
    ///
    /// - Parameter text: The text.
    public init(text: String) {
        // Whatever would not be written the same again is not ours, and kept as it is.
        self = Self(ours: text).flatMap { Array($0.text.utf8) == Array(text.utf8) ? $0 : nil } ?? .uri(text)
    }

    private init?(ours text: String) {
        let scheme = "urn:dovetail:schema:"
        guard text.hasPrefix(scheme) else { return nil }
        let parts = text.dropFirst(scheme.count).split(separator: ":", omittingEmptySubsequences: false).map(
            String.init)
        if parts.count == 2, parts[0] == "id", let id = parts[1].removingPercentEncodingOfURN {
            self = .id(id)
        } else if parts.count == 3, parts[0] == "version", let subject = parts[1].removingPercentEncodingOfURN,
            let number = Int(parts[2])
        {
            self = .version(subject: subject, number)
        } else {
            return nil
        }
    }

    /// The text form, a URI in every case.
    public var text: String {
        switch self {
        case .version(let subject, let number):
            "urn:dovetail:schema:version:\(subject.addingPercentEncodingForURN):\(number)"
        case .id(let id): "urn:dovetail:schema:id:\(id.addingPercentEncodingForURN)"
        case .uri(let uri): uri
        }
    }
}

extension String {
    /// Encodes everything but unreserved characters of RFC 3986.
    fileprivate var addingPercentEncodingForURN: String {
        var bytes: [UInt8] = []
        let digits = Array("0123456789ABCDEF".utf8)
        for byte in utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
                UInt8(ascii: "~"):
                bytes.append(byte)
            default:
                bytes += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Decodes percent-encoding; `nil` if it is malformed or not UTF-8.
    fileprivate var removingPercentEncodingOfURN: String? {
        var bytes: [UInt8] = []
        var rest = Substring(self).utf8
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst(), let low = rest.popFirst(),
                let value = UInt8(String(decoding: [high, low], as: UTF8.self), radix: 16)
            else { return nil }
            bytes.append(value)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
