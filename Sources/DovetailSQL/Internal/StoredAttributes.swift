// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The attributes of an envelope as JSON text: nothing is lost, and a person can read it.
///
/// Names it does not know are left out when it is read, so that a later release may add some.
enum StoredAttributes {
    // MARK: Writing

    static func encode(_ attributes: EnvelopeAttributes) -> String {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(384)
        var isFirst = true
        func append(_ key: String, _ value: String) {
            JSONWriter.appendKey(key, isFirst: &isFirst, to: &bytes)
            JSONWriter.append(value, to: &bytes)
        }
        func append(_ key: String, _ value: String?) {
            if let value { append(key, value) }
        }
        bytes.append(UInt8(ascii: "{"))
        append("id", attributes.id.rawValue)
        append("source", attributes.source.rawValue)
        append("type", attributes.type.rawValue)
        JSONWriter.appendKey("version", isFirst: &isFirst, to: &bytes)
        appendArray(to: &bytes) { array in
            array.append(Int64(attributes.version.major))
            array.append(Int64(attributes.version.minor))
        }
        append("topic", attributes.topic.rawValue)
        append("subject", attributes.subject)
        append("time", attributes.time?.rfc3339)
        append("expiry", attributes.expiry?.rfc3339)
        append("notBefore", attributes.notBefore?.rfc3339)
        append("tenant", attributes.tenant?.rawValue)
        append("partitionKey", attributes.partitionKey?.rawValue)
        append("correlationID", attributes.correlationID?.rawValue)
        append("causationID", attributes.causationID?.rawValue)
        append("traceParent", attributes.trace?.traceParent.text)
        append("traceState", attributes.trace?.traceState?.text)
        append("baggage", attributes.baggage?.text)
        append("contentType", attributes.contentType)
        append("schema", attributes.schema?.text)
        if !attributes.headers.isEmpty {
            JSONWriter.appendKey("headers", isFirst: &isFirst, to: &bytes)
            write(attributes.headers, to: &bytes)
        }
        if !attributes.extensions.isEmpty {
            JSONWriter.appendKey("extensions", isFirst: &isFirst, to: &bytes)
            write(attributes.extensions, to: &bytes)
        }
        bytes.append(UInt8(ascii: "}"))
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Headers keep their order, so they are a list: name, value, name, value.
    static func encode(_ headers: Headers) -> String {
        var bytes: [UInt8] = []
        write(headers, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func write(_ headers: Headers, to bytes: inout [UInt8]) {
        appendArray(to: &bytes) { array in
            for header in headers {
                array.append(header.name)
                array.append(header.value)
            }
        }
    }

    private static func write(_ extensions: [String: ExtensionValue], to bytes: inout [UInt8]) {
        var isFirst = true
        bytes.append(UInt8(ascii: "{"))
        for (name, value) in extensions.sorted(by: { $0.key < $1.key }) {
            JSONWriter.appendKey(name, isFirst: &isFirst, to: &bytes)
            switch value {
            case .string(let text): JSONWriter.append(text, to: &bytes)
            case .integer(let number): JSONWriter.append(Int64(number), to: &bytes)
            case .boolean(let flag): JSONWriter.append(flag, to: &bytes)
            }
        }
        bytes.append(UInt8(ascii: "}"))
    }

    /// Writes the elements of an array with the commas between them.
    private struct ArrayWriter {
        var bytes: [UInt8]
        private var isFirst = true

        init(_ bytes: consuming [UInt8]) {
            self.bytes = bytes
        }

        mutating func append(_ text: String) {
            separate()
            JSONWriter.append(text, to: &bytes)
        }

        mutating func append(_ number: Int64) {
            separate()
            JSONWriter.append(number, to: &bytes)
        }

        private mutating func separate() {
            if !isFirst { bytes.append(UInt8(ascii: ",")) }
            isFirst = false
        }
    }

    private static func appendArray(to bytes: inout [UInt8], _ write: (inout ArrayWriter) -> Void) {
        bytes.append(UInt8(ascii: "["))
        var taken: [UInt8] = []
        swap(&taken, &bytes)
        var writer = ArrayWriter(taken)
        taken = []
        write(&writer)
        swap(&bytes, &writer.bytes)
        bytes.append(UInt8(ascii: "]"))
    }

    // MARK: Reading

    /// - Throws: `DatabaseError` with `undecodableRow`, naming the row.
    static func decode(_ text: String, of row: @autoclosure () -> String) throws -> EnvelopeAttributes {
        do {
            if let attributes = try decode(text) { return attributes }
        } catch {
            throw undecodable(row(), error)
        }
        throw undecodable(row(), nil)
    }

    /// - Throws: `DatabaseError` with `undecodableRow`, naming the row.
    static func decodeHeaders(_ text: String, of row: @autoclosure () -> String) throws -> Headers {
        var scanner = JSONScanner(Array(text.utf8))
        do {
            let headers = try readHeaders(&scanner)
            try scanner.checkEnd()
            return headers
        } catch {
            throw undecodable(row(), error)
        }
    }

    private static func undecodable(_ row: String, _ cause: (any Error)?) -> DatabaseError {
        DatabaseError(
            .undecodableRow,
            "The \(row) has attributes that cannot be read. Has something else written to the library's tables? Put the row "
                + "right, or take it out.",
            cause: cause
        )
    }

    private static func decode(_ text: String) throws(JSONScannerError) -> EnvelopeAttributes? {
        var scanner = JSONScanner(Array(text.utf8))
        var attributes = EnvelopeAttributes(id: "", source: "", type: "", topic: "")
        var (traceParent, traceState): (TraceParent?, TraceState?) = (nil, nil)
        var isSound = true
        var members = try scanner.beginObject()
        while let key = try scanner.nextKey(&members) {
            switch key {
            case "id": attributes.id = MessageID(try scanner.parseString())
            case "source": attributes.source = MessageSource(try scanner.parseString())
            case "type": attributes.type = MessageType(try scanner.parseString())
            case "version": attributes.version = try readVersion(&scanner)
            case "topic": attributes.topic = Topic(try scanner.parseString())
            case "subject": attributes.subject = try scanner.parseString()
            case "time": attributes.time = try readTime(&scanner, &isSound)
            case "expiry": attributes.expiry = try readTime(&scanner, &isSound)
            case "notBefore": attributes.notBefore = try readTime(&scanner, &isSound)
            case "tenant": attributes.tenant = TenantID(try scanner.parseString())
            case "partitionKey": attributes.partitionKey = PartitionKey(try scanner.parseString())
            case "correlationID": attributes.correlationID = CorrelationID(try scanner.parseString())
            case "causationID": attributes.causationID = MessageID(try scanner.parseString())
            case "traceParent":
                traceParent = TraceParent(try scanner.parseString())
                isSound = isSound && traceParent != nil
            case "traceState":
                let text = try scanner.parseString()
                traceState = text.isEmpty ? TraceState() : TraceState(text)
                isSound = isSound && traceState != nil
            case "baggage": attributes.baggage = Baggage(try scanner.parseString())
            case "contentType": attributes.contentType = try scanner.parseString()
            case "schema": attributes.schema = SchemaReference(text: try scanner.parseString())
            case "headers": attributes.headers = try readHeaders(&scanner)
            case "extensions": attributes.extensions = try readExtensions(&scanner)
            default: try scanner.skipValue()
            }
        }
        try scanner.checkEnd()
        if let traceParent { attributes.trace = TraceContext(traceParent: traceParent, traceState: traceState) }
        let isComplete = !attributes.id.rawValue.isEmpty && !attributes.type.rawValue.isEmpty
        return isSound && isComplete ? attributes : nil
    }

    private static func readTime(
        _ scanner: inout JSONScanner, _ isSound: inout Bool
    ) throws(JSONScannerError) -> Timestamp? {
        let time = Timestamp(rfc3339: try scanner.parseString())
        isSound = isSound && time != nil
        return time
    }

    private static func readVersion(_ scanner: inout JSONScanner) throws(JSONScannerError) -> MessageVersion {
        var numbers: [Int] = []
        var array = try scanner.beginArray()
        while try scanner.hasNextElement(&array) { numbers.append(Int(clamping: try scanner.parseInteger())) }
        return MessageVersion(major: numbers.first ?? 1, minor: numbers.dropFirst().first ?? 0)
    }

    private static func readHeaders(_ scanner: inout JSONScanner) throws(JSONScannerError) -> Headers {
        var elements: [Headers.Element] = []
        var array = try scanner.beginArray()
        while try scanner.hasNextElement(&array) {
            let name = try scanner.parseString()
            let hasValue = try scanner.hasNextElement(&array)
            elements.append(Headers.Element(name: name, value: hasValue ? try scanner.parseString() : ""))
            if !hasValue { break }
        }
        return Headers(elements)
    }

    private static func readExtensions(
        _ scanner: inout JSONScanner
    ) throws(JSONScannerError) -> [String: ExtensionValue] {
        var extensions: [String: ExtensionValue] = [:]
        var members = try scanner.beginObject()
        while let name = try scanner.nextKey(&members) {
            switch try scanner.peekKind() {
            case .string: extensions[name] = .string(try scanner.parseString())
            case .bool: extensions[name] = .boolean(try scanner.parseBool())
            case .number: extensions[name] = .integer(Int32(clamping: try scanner.parseInteger()))
            case .null, .array, .object: try scanner.skipValue()
            }
        }
        return extensions
    }
}
