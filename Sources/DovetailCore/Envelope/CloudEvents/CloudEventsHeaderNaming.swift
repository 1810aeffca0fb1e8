// SPDX-License-Identifier: Apache-2.0

/// How a transport names the headers that carry the attributes of an event, and how it writes their values.
///
/// ```swift
/// let format = CloudEventsBinaryFormat(.kafka)
/// let custom = CloudEventsHeaderNaming(prefix: "x-ce-", contentType: "content-type")
/// ```
public struct CloudEventsHeaderNaming: Sendable, Hashable {
    /// What stands before the name of an attribute.
    public let prefix: String

    /// The header that carries the content type.
    public let contentType: String

    /// Whether values are percent-encoded, and read with regard to quotes and in any case of names, as HTTP has it.
    public let isHTTP: Bool

    /// The header of each attribute, so that writing an event puts no names together.
    let names: [String]

    /// The prefix with each attribute, one behind the other at equal distances, so that a header that is read can be
    /// compared whole words at a time.
    private let table: [UInt8]

    /// The distance from one name in the table to the next.
    private let width: Int

    /// The length of the prefix in bytes.
    let prefixLength: Int

    /// Creates a naming.
    ///
    /// - Parameters:
    ///   - prefix: What stands before the name of an attribute.
    ///   - contentType: The header that carries the content type.
    ///   - isHTTP: Whether values are percent-encoded, and read with regard to quotes and in any case of names.
    public init(prefix: String, contentType: String, isHTTP: Bool = false) {
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

    /// Compares a name with the header of an attribute that is as long.
    @inline(__always)
    func isName(_ name: UnsafeBufferPointer<UInt8>, of attribute: CloudEventsAttribute) -> Bool {
        table.withUnsafeBytes { table in
            let own = UnsafeRawBufferPointer(rebasing: table[(attribute.rawValue &* width)...])
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
