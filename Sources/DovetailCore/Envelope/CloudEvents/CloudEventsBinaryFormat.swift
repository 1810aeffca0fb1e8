// SPDX-License-Identifier: Apache-2.0

/// Writes and reads events in the binary mode of CloudEvents 1.0: attributes in the headers of a transport, the payload as
/// it is.
///
/// All values travel as text, so extensions that are numbers or booleans come back as strings. Headers of the transport that
/// belong to no attribute are not looked at.
///
/// Which attribute of an envelope goes where is in <doc:CloudEvents-mapping>.
///
/// ```swift
/// let format = CloudEventsBinaryFormat(.kafka)
/// let (headers, payload) = try format.encode(envelope)    // ce_specversion, ce_id, …, content-type
/// let copy = try format.decode(headers: headers, payload: payload, topic: "shop.orders")
/// ```
public struct CloudEventsBinaryFormat: Sendable {
    /// A header of a transport.
    public typealias Header = Headers.Element

    /// How the headers are named.
    public let naming: CloudEventsHeaderNaming

    /// Creates the format.
    ///
    /// - Parameter naming: How the headers are named.
    public init(_ naming: CloudEventsHeaderNaming) {
        self.naming = naming
    }

    /// Writes an event.
    ///
    /// - Parameter envelope: The event.
    /// - Returns: The headers in a fixed order, and the payload as it is.
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidEnvelope`` if it would not be a valid event.
    public func encode(_ envelope: Envelope<Bytes>) throws(MessageError) -> (headers: [Header], payload: Bytes) {
        var sink = HeaderList(naming: naming)
        try envelope.attributes.writeCloudEvent(to: &sink)
        return (sink.headers, envelope.payload)
    }

    /// Takes the bytes of a name and of its value, which are there for as long as it runs.
    ///
    /// Without a context of its own: for each header of each message it would be counted.
    package typealias HeaderTaker =
        @convention(c) (
            _ place: OpaquePointer?, _ name: UnsafePointer<UInt8>?, _ nameSize: Int, _ value: UnsafePointer<UInt8>?,
            _ valueSize: Int
        ) -> Void

    /// Writes the attributes of an event as headers that a transport keeps in memory of its own.
    ///
    /// - Parameters:
    ///   - attributes: The attributes.
    ///   - place: Where the headers are to go.
    ///   - take: Puts a header there; is called in the order of ``encode(_:)``.
    /// - Returns: How many bytes the headers have.
    /// - Throws: ``MessageError`` as ``encode(_:)`` does; a part may have been taken by then.
    package func write(
        _ attributes: EnvelopeAttributes, to place: OpaquePointer?, _ take: HeaderTaker
    ) throws(MessageError) -> Int {
        var sink = HeaderBytes(naming: naming, place: place, take: take)
        try attributes.writeCloudEvent(to: &sink)
        return sink.count
    }

    /// Reads an event.
    ///
    /// - Parameters:
    ///   - headers: All headers of the message, in any order.
    ///   - payload: The payload of the message.
    ///   - topic: Where it was read from; the topic named like its type if `nil`.
    /// - Returns: The envelope.
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidCloudEvent`` if the headers do not make a valid event.
    public func decode(
        headers: [Header], payload: Bytes, topic: Topic? = nil
    ) throws(MessageError) -> Envelope<Bytes> {
        let attributes = try EnvelopeAttributes.building { fields throws(MessageError) in
            try headers.withUnsafeBufferPointer { headers throws(MessageError) in
                try read(headers, topic: topic, into: &fields)
            }
        }
        return Envelope(attributes, payload: payload)
    }

    private func read(
        _ headers: UnsafeBufferPointer<Header>, topic: Topic?, into fields: inout EnvelopeAttributes.Fields
    ) throws(MessageError) {
        var reader = CloudEventsReader()
        var contentType: String?
        for index in headers.indices {
            switch match(headers, index) {
            case .attribute(let attribute):
                if naming.isHTTP {
                    try reader.read(attribute, try decodedValue(of: headers[index]), into: &fields)
                } else {
                    try reader.read(attribute, headers[index].value, into: &fields)
                }
            case .extension(let name):
                try reader.read(name, .string(try decodedValue(of: headers[index])), into: &fields)
            case .contentType:
                guard contentType == nil else {
                    throw CloudEventsReader.invalid("datacontenttype", "is there twice", "Send it once.")
                }
                contentType = naming.isHTTP ? HTTPHeaderValue.trimmed(headers[index].value) : headers[index].value
            case .other:
                continue
            }
        }
        // Some senders repeat the content type among the attributes; the header of the transport is what counts.
        if let contentType { try reader.read(contentType: contentType, into: &fields) }
        try reader.finish(topic: topic, &fields)
    }

    private func decodedValue(of header: Header) throws(MessageError) -> String {
        guard naming.isHTTP else { return header.value }
        guard let text = HTTPHeaderValue.decode(header.value) else {
            throw CloudEventsReader.invalid(
                header.name, "is percent-encoded, but not as UTF-8", "Encode the bytes of its UTF-8 text.")
        }
        return text
    }

    // MARK: - Names

    private enum Match {
        case attribute(CloudEventsAttribute)
        case `extension`(String)
        case contentType
        case other
    }

    @inline(__always)
    private func match(_ headers: UnsafeBufferPointer<Header>, _ index: Int) -> Match {
        let length = naming.prefixLength
        // Looked at through the pointer: handed over as a string, each name would be retained.
        let exact = headers[index].name.utf8.withContiguousStorageIfAvailable { name -> CloudEventsAttribute? in
            guard name.count > length + 1,
                let candidate = CloudEventsAttribute.candidate(
                    length: name.count - length, secondLetter: name[length + 1]),
                naming.isName(name, of: candidate)
            else { return nil }
            return candidate
        }
        if case let attribute?? = exact { return .attribute(attribute) }
        return inexactMatch(headers[index].name)
    }

    /// Matches names of extensions, names in other cases, and names that are none of ours.
    private func inexactMatch(_ name: String) -> Match {
        // Transports do not agree on how to write the name of the content type.
        if name.equalsIgnoringASCIICase(naming.contentType) { return .contentType }
        var bytes = Array(name.utf8)
        var prefix = Array(naming.prefix.utf8)
        if naming.isHTTP {
            bytes = bytes.map(\.lowercasedLetter)
            prefix = prefix.map(\.lowercasedLetter)
        }
        guard bytes.count > prefix.count, bytes.starts(with: prefix) else { return .other }
        let rest = Array(bytes[prefix.count...])
        let attribute = rest.withUnsafeBufferPointer { CloudEventsAttribute(name: $0) }
        return attribute.map { .attribute($0) } ?? .extension(String(decoding: rest, as: UTF8.self))
    }
}

/// Takes attributes as headers.
private protocol HeaderSink: CloudEventsSink {
    var naming: CloudEventsHeaderNaming { get }

    mutating func append(_ name: String, _ value: String)
    mutating func append(_ name: String, _ time: Timestamp)
}

extension HeaderSink {
    fileprivate mutating func put(_ attribute: CloudEventsAttribute, _ text: String) {
        let isEncoded = naming.isHTTP && attribute != .dataContentType
        append(naming.names[attribute.rawValue], isEncoded ? HTTPHeaderValue.encode(text) : text)
    }

    fileprivate mutating func put(_ attribute: CloudEventsAttribute, _ time: Timestamp) {
        append(naming.names[attribute.rawValue], time)
    }

    fileprivate mutating func put(_ name: String, _ value: ExtensionValue) {
        append(naming.prefix + name, naming.isHTTP ? HTTPHeaderValue.encode(value.text) : value.text)
    }
}

/// Collects headers.
private struct HeaderList: HeaderSink {
    let naming: CloudEventsHeaderNaming
    var headers: [CloudEventsBinaryFormat.Header] = []

    init(naming: CloudEventsHeaderNaming) {
        self.naming = naming
        headers.reserveCapacity(16)
    }

    mutating func append(_ name: String, _ value: String) {
        headers.append(CloudEventsBinaryFormat.Header(name: name, value: value))
    }

    mutating func append(_ name: String, _ time: Timestamp) { append(name, time.rfc3339) }
}

/// Hands headers on as bytes.
private struct HeaderBytes: HeaderSink {
    let naming: CloudEventsHeaderNaming
    let place: OpaquePointer?
    let take: CloudEventsBinaryFormat.HeaderTaker
    var count = 0

    mutating func append(_ name: String, _ value: String) {
        count += value.withBytes { [place, take] value in
            name.withBytes { name in
                take(place, name.baseAddress, name.count, value.baseAddress, value.count)
                return name.count + value.count
            }
        }
    }

    mutating func append(_ name: String, _ time: Timestamp) {
        count += time.withRFC3339 { [place, take] time in
            name.withBytes { name in
                take(place, name.baseAddress, name.count, time.baseAddress, time.count)
                return name.count + time.count
            }
        }
    }
}

extension UInt8 {
    fileprivate var lowercasedLetter: UInt8 { self &- 65 < 26 ? self | 0x20 : self }
}
