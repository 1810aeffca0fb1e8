// SPDX-License-Identifier: Apache-2.0

/// Writes and reads events in the JSON format of CloudEvents 1.0, alone or in batches.
///
/// The payload survives byte by byte. If its content type says JSON, or says nothing, and it is JSON, it is spliced into the
/// event as it stands and read back as exactly those bytes; anything else travels in `data_base64`. An empty payload is an
/// event without data.
///
/// Which attribute of an envelope goes where is in <doc:CloudEvents-mapping>.
///
/// ```swift
/// let format = CloudEventsJSONFormat()
/// let bytes = try format.encode(envelope)          // application/cloudevents+json
/// let copy = try format.decode(bytes)
/// ```
///
/// See [JSON event format](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md).
public struct CloudEventsJSONFormat: Sendable {
    /// The media type of one event.
    public static let contentType = "application/cloudevents+json"

    /// The media type of a batch.
    public static let batchContentType = "application/cloudevents-batch+json"

    /// Creates the format.
    public init() {}

    // MARK: - Writing

    /// Writes an event.
    ///
    /// - Parameter envelope: The event.
    /// - Returns: Its JSON text in UTF-8, without line breaks of its own.
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidEnvelope`` if it would not be a valid event.
    public func encode(_ envelope: Envelope<Bytes>) throws(MessageError) -> Bytes {
        var bytes = Bytes()
        try append(envelope, to: &bytes)
        return bytes
    }

    /// Writes a batch of events.
    ///
    /// - Parameter envelopes: The events; none make a valid batch.
    /// - Returns: Their JSON text in UTF-8.
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidEnvelope`` if one would not be a valid event.
    public func encodeBatch(_ envelopes: [Envelope<Bytes>]) throws(MessageError) -> Bytes {
        var bytes: Bytes = [UInt8(ascii: "[")]
        for envelope in envelopes {
            if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
            try append(envelope, to: &bytes)
        }
        bytes.append(UInt8(ascii: "]"))
        return bytes
    }

    private func append(_ envelope: Envelope<Bytes>, to bytes: inout Bytes) throws(MessageError) {
        let payload = envelope.payload
        let isJSON = Self.isJSON(envelope.attributes.contentType)
        var sink = JSONSink(bytes: bytes)
        bytes = []
        sink.bytes.reserveCapacity(sink.bytes.count + 512 + (isJSON ? payload.count : payload.count * 4 / 3))
        sink.bytes.append(UInt8(ascii: "{"))
        try envelope.attributes.writeCloudEvent(to: &sink)
        if !payload.isEmpty {
            if isJSON, Self.canBeSpliced(payload) {
                sink.appendKey("data")
                sink.bytes.append(contentsOf: payload)
            } else {
                sink.appendKey("data_base64")
                sink.bytes.append(UInt8(ascii: "\""))
                Base64.append(payload, to: &sink.bytes)
                sink.bytes.append(UInt8(ascii: "\""))
            }
        }
        sink.bytes.append(UInt8(ascii: "}"))
        bytes = sink.bytes
    }

    /// Tells whether a content type declares JSON, as a missing one does.
    private static func isJSON(_ contentType: String?) -> Bool {
        guard let contentType, !contentType.isEmpty else { return true }
        return MediaType.isJSON(contentType)
    }

    /// Tells whether a payload is one JSON value that will be found again exactly, so with no white space around it.
    private static func canBeSpliced(_ payload: Bytes) -> Bool {
        // The event itself, and a batch, are two levels around it.
        var scanner = JSONScanner(payload, depth: 2)
        return (try? scanner.skipValue()) == payload.indices
    }

    // MARK: - Reading

    /// Reads an event.
    ///
    /// - Parameters:
    ///   - bytes: The JSON text.
    ///   - topic: Where it was read from; the topic named like its type if `nil`.
    /// - Returns: The envelope.
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidCloudEvent`` if the bytes are not one valid event.
    public func decode(_ bytes: Bytes, topic: Topic? = nil) throws(MessageError) -> Envelope<Bytes> {
        try Self.explainingErrors {
            var scanner = JSONScanner(bytes)
            let envelope = try Self.readEvent(from: &scanner, of: bytes, topic: topic)
            try scanner.checkEnd()
            return envelope
        }
    }

    /// Reads a batch of events.
    ///
    /// - Parameters:
    ///   - bytes: The JSON text.
    ///   - topic: Where it was read from; for each event the topic named like its type if `nil`.
    /// - Returns: The envelopes, in order.
    /// - Throws: ``MessageError`` with ``MessageError/Code/invalidCloudEvent`` if the bytes are not a batch, or one of its
    ///   events is not valid.
    public func decodeBatch(_ bytes: Bytes, topic: Topic? = nil) throws(MessageError) -> [Envelope<Bytes>] {
        try Self.explainingErrors {
            var scanner = JSONScanner(bytes)
            guard try scanner.peekKind() == .array else {
                throw MessageError(
                    .invalidCloudEvent, "A batch of CloudEvents is a JSON array. Decode a single event with decode(_:)."
                )
            }
            var array = try scanner.beginArray()
            var envelopes: [Envelope<Bytes>] = []
            while try scanner.hasNextElement(&array) {
                do {
                    envelopes.append(try Self.readEvent(from: &scanner, of: bytes, topic: topic))
                } catch let error as MessageError {
                    throw MessageError(error.code, "Event \(envelopes.count) of the batch: \(error.message)")
                }
            }
            try scanner.checkEnd()
            return envelopes
        }
    }

    private static func readEvent(
        from scanner: inout JSONScanner, of bytes: Bytes, topic: Topic?
    ) throws -> Envelope<Bytes> {
        guard try scanner.peekKind() == .object else {
            throw MessageError(.invalidCloudEvent, "A CloudEvent is a JSON object. Have the sender send one.")
        }
        var payload = Bytes()
        let attributes = try EnvelopeAttributes.building { fields throws in
            var reader = CloudEventsReader()
            payload = try readMembers(from: &scanner, of: bytes, with: &reader, into: &fields)
            try reader.finish(topic: topic, &fields)
        }
        return Envelope(attributes, payload: payload)
    }

    private static func readMembers(
        from scanner: inout JSONScanner, of bytes: Bytes, with reader: inout CloudEventsReader,
        into fields: inout EnvelopeAttributes.Fields
    ) throws -> Bytes {
        var data: Range<Int>?
        var encodedData: String?
        var object = try scanner.beginObject()
        while var key = try scanner.nextKey(&object) {
            if let attribute = key.withUTF8({ CloudEventsAttribute(name: $0) }) {
                guard let value = try readValue(of: key, from: &scanner) else { continue }
                try reader.read(attribute, value, into: &fields)
            } else if key == "data" {
                guard data == nil else { throw CloudEventsReader.invalid(key, "is there twice", "Send it once.") }
                data = try scanner.skipValue()
            } else if key == "data_base64" {
                guard let value = try readValue(of: key, from: &scanner) else { continue }
                guard encodedData == nil, case .string(let text) = value else {
                    throw CloudEventsReader.invalid(key, "is not one string", "Send it once, as Base64.")
                }
                encodedData = text
            } else if let value = try readValue(of: key, from: &scanner) {
                try reader.read(key, value, into: &fields)
            } else {
                try reader.checkName(key)
            }
        }
        return try readPayload(data, encodedData, of: bytes, into: &fields)
    }

    /// Reads the value of an attribute; `nil` if it is `null`, which means that the attribute is not set.
    private static func readValue(of key: String, from scanner: inout JSONScanner) throws -> ExtensionValue? {
        switch try scanner.peekKind() {
        case .string: return .string(try scanner.parseString())
        case .bool: return .boolean(try scanner.parseBool())
        case .null:
            try scanner.parseNull()
            return nil
        case .number:
            guard case .integer(let number) = try scanner.parseNumber(), let integer = Int32(exactly: number) else {
                throw CloudEventsReader.invalid(
                    key, "is a number other than a whole one of 32 bits", "Send it as a string.")
            }
            return .integer(integer)
        case .object, .array:
            throw CloudEventsReader.invalid(
                key, "is an object or an array", "Send it as a string, or as part of the data.")
        }
    }

    private static func readPayload(
        _ data: Range<Int>?, _ encodedData: String?, of bytes: Bytes, into fields: inout EnvelopeAttributes.Fields
    ) throws -> Bytes {
        if let encodedData {
            guard data == nil else {
                throw CloudEventsReader.invalid("data_base64", "stands beside 'data'", "Send one of the two.")
            }
            guard let payload = Base64.decode(encodedData) else {
                throw CloudEventsReader.invalid(
                    "data_base64", "is not Base64", "Encode the data with the standard alphabet and padding.")
            }
            return payload
        }
        guard let data else { return [] }
        guard let contentType = fields.contentType else {
            // Data without a content type is JSON; said aloud, it stays so in formats that would take it otherwise.
            fields.contentType = JSONPayloadCodec.contentType
            return Array(bytes[data])
        }
        return MediaType.isJSON(contentType) ? Array(bytes[data]) : try readText(bytes, in: data, as: contentType)
    }

    /// Reads data that is not JSON: a string, whose characters are meant.
    private static func readText(_ bytes: Bytes, in data: Range<Int>, as contentType: String) throws -> Bytes {
        var scanner = JSONScanner(bytes, in: data)
        switch try scanner.peekKind() {
        case .null: return []
        case .string: break
        default:
            throw CloudEventsReader.invalid(
                "data", "is no string although the content type is '\(contentType.excerpt)'",
                "Send it as a string or as data_base64, or say that it is JSON.")
        }
        let text = Array(try scanner.parseString().utf8)
        // In UTF-8 the bytes are those of the string; in other character sets only ASCII is sure to be the same.
        let charset = MediaType.parameter("charset", of: contentType)?.lowercased() ?? "utf-8"
        guard charset == "utf-8" || !charset.hasPrefix("utf") && text.allSatisfy({ $0 < 0x80 }) else {
            throw CloudEventsReader.invalid(
                "data", "is a string of which the character set '\(charset.excerpt)' is asked",
                "Send it as data_base64, or in UTF-8.")
        }
        return text
    }

    /// Turns what scanning and reading throw into one kind of error.
    private static func explainingErrors<Result>(_ body: () throws -> Result) throws(MessageError) -> Result {
        do {
            return try body()
        } catch let error as MessageError {
            throw error
        } catch {
            throw MessageError(
                .invalidCloudEvent, "The bytes are not the JSON text of a CloudEvent. Check what the sender sends.",
                cause: error)
        }
    }
}

/// Appends attributes as members of a JSON object.
private struct JSONSink: CloudEventsSink {
    var bytes: Bytes
    private var isFirst = true

    init(bytes: Bytes) {
        self.bytes = bytes
    }

    mutating func put(_ attribute: CloudEventsAttribute, _ text: String) {
        appendKey(attribute.name)
        JSONWriter.append(text, to: &bytes)
    }

    mutating func put(_ attribute: CloudEventsAttribute, _ time: Timestamp) {
        appendKey(attribute.name)
        bytes.append(UInt8(ascii: "\""))
        time.appendRFC3339(to: &bytes)
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func put(_ name: String, _ value: ExtensionValue) {
        JSONWriter.appendKey(name, isFirst: &isFirst, to: &bytes)
        switch value {
        case .string(let text): JSONWriter.append(text, to: &bytes)
        case .integer(let number): JSONWriter.append(Int64(number), to: &bytes)
        case .boolean(let flag): JSONWriter.append(flag, to: &bytes)
        }
    }

    /// Appends a name that needs no escapes.
    mutating func appendKey(_ name: StaticString) {
        bytes.append(isFirst ? UInt8(ascii: "\"") : UInt8(ascii: ","))
        if !isFirst { bytes.append(UInt8(ascii: "\"")) }
        isFirst = false
        JSONWriter.append(literal: name, to: &bytes)
        bytes.append(UInt8(ascii: "\""))
        bytes.append(UInt8(ascii: ":"))
    }
}
