// SPDX-License-Identifier: Apache-2.0

/// How a transport names the headers that carry the attributes of an event, and how it writes their values.
///
/// ```swift
/// let format = CloudEventsBinaryFormat(.kafka)
/// let custom = CloudEventsHeaderNaming(prefix: "x-ce-", contentType: "content-type")
/// ```
public struct CloudEventsHeaderNaming: Sendable, Hashable {
    /// What stands before the name of an attribute.
    public var prefix: String { spelling.prefix }

    /// The header that carries the content type.
    public var contentType: String { spelling.contentType }

    /// Whether values are percent-encoded, and read with regard to quotes and in any case of names, as HTTP has it.
    public var isHTTP: Bool { spelling.isHTTP }

    /// The header of each attribute, so that writing an event puts no names together.
    var names: [String] { spelling.names }

    /// The length of the prefix in bytes.
    var prefixLength: Int { spelling.prefixLength }

    private let spelling: Spelling

    /// Creates a naming.
    ///
    /// - Parameters:
    ///   - prefix: What stands before the name of an attribute.
    ///   - contentType: The header that carries the content type.
    ///   - isHTTP: Whether values are percent-encoded, and read with regard to quotes and in any case of names.
    public init(prefix: String, contentType: String, isHTTP: Bool = false) {
        spelling = Spelling(prefix: prefix, contentType: contentType, isHTTP: isHTTP)
    }

    /// Tells whether two name headers alike.
    public static func == (left: Self, right: Self) -> Bool {
        left.prefix == right.prefix && left.contentType == right.contentType && left.isHTTP == right.isHTTP
    }

    /// Adds what it is compared by.
    public func hash(into hasher: inout Hasher) {
        hasher.combine(prefix)
        hasher.combine(contentType)
        hasher.combine(isHTTP)
    }

    /// All of it behind one reference: a naming is handed on with every message.
    private final class Spelling: Sendable {
        let prefix: String
        let contentType: String
        let isHTTP: Bool
        let names: [String]
        let prefixLength: Int

        /// The prefix with each attribute, one behind the other at equal distances, so that a header that is read can be
        /// compared whole words at a time.
        let table: [UInt8]

        /// The distance from one name in the table to the next.
        let width: Int

        init(prefix: String, contentType: String, isHTTP: Bool) {
            self.prefix = prefix
            self.contentType = contentType
            self.isHTTP = isHTTP
            prefixLength = prefix.utf8.count
            let width = prefix.utf8.count + CloudEventsAttribute.longestName
            self.width = width
            table = CloudEventsAttribute.allCases.flatMap { attribute in
                let name = Array("\(prefix)\(attribute.name)".utf8)
                return name + Array(repeating: 0, count: width - name.count)
            }
            names = CloudEventsAttribute.allCases.map { $0 == .dataContentType ? contentType : "\(prefix)\($0.name)" }
        }
    }

    /// Compares a name with the header of an attribute that is as long.
    @inline(__always)
    func isName(_ name: UnsafeBufferPointer<UInt8>, of attribute: CloudEventsAttribute) -> Bool {
        spelling.table.withUnsafeBytes { table in
            let own = UnsafeRawBufferPointer(rebasing: table[(attribute.rawValue &* spelling.width)...])
            return CloudEventsAttribute.areEqual(UnsafeRawBufferPointer(name), own)
        }
    }

    /// The names of the [Kafka binding](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/kafka-protocol-binding.md):
    /// `ce_id`, `ce_source`, … and `content-type`.
    public static let kafka = CloudEventsHeaderNaming(prefix: "ce_", contentType: "content-type")

    /// The names of the [HTTP binding](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md):
    /// `ce-id`, `ce-source`, … and `content-type`, with percent-encoded values.
    public static let http = CloudEventsHeaderNaming(prefix: "ce-", contentType: "content-type", isHTTP: true)

    /// The names of the [AMQP binding](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/amqp-protocol-binding.md):
    /// `cloudEvents:id`, `cloudEvents:source`, … and the property `content-type`.
    public static let amqp = CloudEventsHeaderNaming(prefix: "cloudEvents:", contentType: "content-type")
}
