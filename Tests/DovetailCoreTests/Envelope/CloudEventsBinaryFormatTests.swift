// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct CloudEventsBinaryFormatTests {
    typealias Header = CloudEventsBinaryFormat.Header

    private let kafka = CloudEventsBinaryFormat(.kafka)
    private let http = CloudEventsBinaryFormat(.http)

    private func pairs(_ headers: [Header]) -> [String] { headers.map { "\($0.name): \($0.value)" } }

    private func headers(_ pairs: KeyValuePairs<String, String>) -> [Header] {
        pairs.map { Header(name: $0.key, value: $0.value) }
    }

    private func required(_ prefix: String = "ce_", _ more: KeyValuePairs<String, String> = [:]) -> [Header] {
        [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t")]
            .map { Header(name: prefix + $0.0, value: $0.1) } + headers(more)
    }

    private func failure(_ format: CloudEventsBinaryFormat, _ headers: [Header]) -> String {
        let error = #expect(throws: MessageError.self) { try format.decode(headers: headers, payload: []) }
        #expect(error?.code == .invalidCloudEvent)
        return error?.message ?? ""
    }

    private var full: Envelope<Bytes> {
        var attributes = EnvelopeAttributes(id: "1", source: "/orders", type: "shop.order.placed")
        attributes.version = 2
        attributes.time = Timestamp(rfc3339: "2026-03-01T09:30:00Z")
        attributes.contentType = "application/json; charset=utf-8"
        attributes.subject = "Euro € 😀"
        attributes.headers = ["a": "b c"]
        attributes.extensions = ["rate": .integer(5), "sampled": .boolean(false)]
        return Envelope(attributes, payload: [1, 2, 3])
    }

    @Test("Kafka has the attributes in headers that start with ce_, and the content type beside them")
    func kafkaHeaders() throws {
        let (headers, payload) = try kafka.encode(full)
        #expect(
            pairs(headers) == [
                "ce_specversion: 1.0", "ce_id: 1", "ce_source: /orders", "ce_type: shop.order.placed",
                "ce_subject: Euro € 😀", "ce_time: 2026-03-01T09:30:00Z",
                "content-type: application/json; charset=utf-8",
                "ce_messageversion: 2", #"ce_dovetailheaders: {"a":"b c"}"#, "ce_rate: 5", "ce_sampled: false",
            ])
        #expect(payload == [1, 2, 3])
    }

    @Test("HTTP has values in percent-encoded ASCII, all but the content type")
    func httpHeaders() throws {
        let (headers, _) = try http.encode(full)
        #expect(
            pairs(headers) == [
                "ce-specversion: 1.0", "ce-id: 1", "ce-source: /orders", "ce-type: shop.order.placed",
                "ce-subject: Euro%20%E2%82%AC%20%F0%9F%98%80", "ce-time: 2026-03-01T09:30:00Z",
                "content-type: application/json; charset=utf-8", "ce-messageversion: 2",
                "ce-dovetailheaders: {%22a%22:%22b%20c%22}", "ce-rate: 5", "ce-sampled: false",
            ])
    }

    @Test("AMQP has the attributes in properties that start with cloudEvents:")
    func amqpHeaders() throws {
        let (headers, _) = try CloudEventsBinaryFormat(.amqp).encode(full)
        #expect(headers.map(\.name).prefix(3) == ["cloudEvents:specversion", "cloudEvents:id", "cloudEvents:source"])
    }

    /// Takes headers as a transport does that keeps them elsewhere.
    private final class Place {
        var headers: [Header] = []
    }

    @Test(
        "Headers that a transport keeps elsewhere are the same, and their bytes are counted",
        arguments: [CloudEventsHeaderNaming.kafka, .http, .amqp])
    func writtenElsewhere(naming: CloudEventsHeaderNaming) throws {
        let format = CloudEventsBinaryFormat(naming)
        let place = Place()
        let pointer = OpaquePointer(Unmanaged.passUnretained(place).toOpaque())
        let count = try format.write(full.attributes, to: pointer) { place, name, nameSize, value, size in
            guard let place else { return }
            func text(_ start: UnsafePointer<UInt8>?, _ count: Int) -> String {
                String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self)
            }
            Unmanaged<Place>.fromOpaque(UnsafeRawPointer(place)).takeUnretainedValue().headers
                .append(Header(name: text(name, nameSize), value: text(value, size)))
        }
        let expected = try format.encode(full).headers
        #expect(place.headers == expected)
        #expect(count == expected.reduce(0) { $0 + $1.name.utf8.count + $1.value.utf8.count })
    }

    @Test(
        "The example of the bindings reads as it says",
        arguments: [
            (CloudEventsHeaderNaming.kafka, "ce_", "content-type"), (.http, "ce-", "Content-Type"),
            (.http, "Ce-", "content-type"), (.http, "CE-", "CONTENT-TYPE"), (.amqp, "cloudEvents:", "content-type"),
        ], ["application/json", "application/json; charset=utf-8"])
    func bindingExample(naming: (CloudEventsHeaderNaming, String, String), contentType: String) throws {
        let (naming, prefix, contentTypeName) = naming
        let payload = Array(#"{"message": "Hello World!"}"#.utf8)
        let headers = [
            (contentTypeName, contentType), (prefix + "specversion", "1.0"), (prefix + "id", "1234-1234-1234"),
            (prefix + "type", "com.example.someevent"), (prefix + "source", "/mycontext/subcontext"),
            (prefix + "time", "2018-04-05T03:56:24Z"), ("content-length", "33"), ("host", "example.com"),
        ].map { Header(name: $0.0, value: $0.1) }
        var expected = EnvelopeAttributes(
            id: "1234-1234-1234", source: "/mycontext/subcontext", type: "com.example.someevent")
        expected.time = Timestamp(rfc3339: "2018-04-05T03:56:24Z")
        expected.contentType = contentType
        let envelope = try CloudEventsBinaryFormat(naming).decode(headers: headers, payload: payload)
        #expect(envelope == Envelope(expected, payload: payload))
    }

    @Test("Names match in any case in HTTP and only as written elsewhere")
    func namesInOtherCases() throws {
        let headers = required("ce-", ["CE-Subject": "x", "Ce-MyExtension": "y", "ce-TraceState": "a=1"])
        let envelope = try http.decode(headers: headers, payload: [])
        #expect(envelope.subject == "x")
        #expect(envelope.extensions == ["myextension": "y", "tracestate": "a=1"])
        #expect(failure(kafka, required("ce_", ["ce_Subject": "x"])).contains("'Subject'"))
        #expect(try kafka.decode(headers: required("ce_", ["CE_subject": "x"]), payload: []).subject == nil)
    }

    @Test(
        "Values of HTTP headers are unquoted, and decoded once",
        arguments: [
            ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"), ("%65%7e", "e~"), (#""a \"b\" \\c""#, #"a "b" \c"#),
            ("%2541", "%41"), ("100%", "100%"), ("%4", "%4"), ("%zz", "%zz"), ("%", "%"), ("  spaced  ", "spaced"),
            ("%20kept%20", " kept "), (#""%41""#, "A"), (#"""#, #"""#), ("\"\"x", "\"\"x"), ("a\"b", "a\"b"),
        ])
    func httpValues(value: String, text: String) throws {
        #expect(try http.decode(headers: required("ce-", ["ce-subject": value]), payload: []).subject == text)
    }

    @Test(
        "A byte is encoded or left as it is, wherever it stands in a value of HTTP",
        arguments: [1, 7, 8, 9, 15, 16, 17])
    func encodedAnywhere(length: Int) throws {
        let scalars = ([1, 0x1f, 0x41] + (0x20...0x27) + (0x7d...0x7f)).map { Unicode.Scalar($0 as UInt8) } + ["é"]
        // Those that are nearest to bytes that are encoded.
        for filler in ["!", "#", "&", "~"] as [Unicode.Scalar] {
            for (position, scalar) in (0..<length).flatMap({ position in scalars.map { (position, $0) } }) {
                var text = Array(repeating: filler, count: length)
                text[position] = scalar
                let subject = String(String.UnicodeScalarView(text))
                let expected = subject.utf8.map { byte in
                    let isPlain = 0x21...0x7e ~= byte && byte != 0x22 && byte != 0x25
                    return isPlain ? String(Unicode.Scalar(byte)) : "%" + hexadecimal(byte)
                }.joined()
                var attributes = EnvelopeAttributes(id: "1", source: "/s", type: "t")
                attributes.subject = subject
                let (headers, payload) = try http.encode(Envelope(attributes, payload: []))
                try #require(headers.first { $0.name == "ce-subject" }?.value == expected)
                try #require(try http.decode(headers: headers, payload: payload).subject == subject)
            }
        }
    }

    private func hexadecimal(_ byte: UInt8) -> String {
        let digits = String(byte, radix: 16, uppercase: true)
        return digits.count == 2 ? digits : "0" + digits
    }

    @Test("Values that are percent-encoded but not as UTF-8 are refused", arguments: ["%C0%A0", "%ff", "%E2%82"])
    func notUTF8(value: String) {
        #expect(failure(http, required("ce-", ["ce-subject": value])).contains("'ce-subject'"))
    }

    @Test("A value of ours that cannot be read is kept, and written again")
    func keptAsItCame() throws {
        let headers = required(
            "ce_",
            [
                "ce_messageversion": "abc", "ce_expirytime": "soon", "ce_traceparent": "0", "ce_dovetailheaders": "{",
                "ce_tenant": "",
            ])
        let envelope = try kafka.decode(headers: headers, payload: [])
        #expect(
            envelope.extensions == [
                "messageversion": "abc", "expirytime": "soon", "traceparent": "0", "dovetailheaders": "{",
            ])
        #expect(envelope.tenant == "")
        #expect(Set(try kafka.encode(envelope).headers) == Set(headers))
    }

    @Test("Headers that are no attributes are left alone")
    func otherHeaders() throws {
        let headers = required(
            "ce_", ["x-request-id": "7", "traceparent": "x", "c": "", "": "y", "ce_": "z", "ce": "1"])
        #expect(try kafka.decode(headers: headers, payload: []) == kafka.decode(headers: required(), payload: []))
    }

    @Test("The content type of the transport counts, whatever the attributes say")
    func contentTypeTwice() throws {
        let headers = required("ce_", ["ce_datacontenttype": "text/plain", "Content-Type": "text/xml"])
        #expect(try kafka.decode(headers: headers, payload: []).contentType == "text/xml")
        #expect(try kafka.decode(headers: headers.dropLast(), payload: []).contentType == "text/plain")
        #expect(
            failure(kafka, headers + [Header(name: "content-type", value: "text/xml")]).contains("'datacontenttype'"))
        #expect(failure(kafka, required("ce_", ["content-type": "xml"])).contains("'datacontenttype'"))
        #expect(failure(kafka, required("ce_", ["content-type": ""])).contains("'datacontenttype'"))
    }

    @Test(
        "What is no event is refused with the name of the attribute",
        arguments: [
            ("ce_id", "2", "'id'"), ("ce_time", "noon", "'time'"), ("ce_my-ext", "x", "'my-ext'"),
            ("ce_data", "x", "'data'"),
            ("ce_subject", "", "'subject'"), ("ce_dataschema", "", "'dataschema'"),
        ])
    func refused(name: String, value: String, attribute: String) {
        #expect(failure(kafka, required("ce_", [name: value])).contains("The attribute \(attribute)"))
    }

    @Test("Whatever is missing is named", arguments: [("specversion", 0), ("id", 1), ("source", 2), ("type", 3)])
    func missing(name: String, index: Int) {
        var headers = required()
        headers.remove(at: index)
        #expect(failure(kafka, headers).contains("'\(name)'"))
        #expect(failure(kafka, []).contains("'specversion'"))
    }

    @Test("Another version of CloudEvents is refused")
    func otherVersion() {
        var headers = required()
        headers[0].value = "0.3"
        #expect(failure(kafka, headers).contains("'0.3'"))
    }

    @Test("An envelope that would make no valid event is not written")
    func invalidEnvelope() {
        var envelope = full
        envelope.extensions["Bad"] = "x"
        #expect(throws: MessageError.self) { try kafka.encode(envelope) }
    }

    @Test(
        "Names of one's own work in both directions, with any prefix", arguments: ["", "X-Event-", "événement.", "a"])
    func ownNaming(prefix: String) throws {
        for isHTTP in [false, true] {
            let format = CloudEventsBinaryFormat(
                CloudEventsHeaderNaming(prefix: prefix, contentType: "media-type", isHTTP: isHTTP))
            var envelope = full
            envelope.extensions = ["rate": "5"]
            let (headers, payload) = try format.encode(envelope)
            #expect(headers.contains { $0.name == prefix + "dovetailheaders" })
            #expect(try format.decode(headers: headers, payload: payload) == envelope)
        }
    }

    @Test("Every attribute is found by its name, and no other name is taken for one")
    func namesOfAttributes() throws {
        let names = [
            "subject", "time", "dataschema", "partitionkey", "traceparent", "tracestate", "baggage", "correlationid",
            "causationid", "expirytime", "messageversion", "notbefore", "tenant", "dovetailheaders", "datacontenttype",
        ]
        for name in names + ["specversion", "id", "source", "type"] {
            for position in name.indices {
                var letters = Array(name)
                letters[name.distance(from: name.startIndex, to: position)] = "0"
                let other = String(letters)
                let envelope = try kafka.decode(headers: required("ce_", ["ce_" + other: "kept"]), payload: [])
                #expect(envelope.extensions == [other: "kept"])
            }
        }
    }

    @Test("The content type tells how a message carries events")
    func contentModes() {
        let modes: [(String?, CloudEventsContentMode)] = [
            (nil, .binary), ("", .binary), ("application/json", .binary), ("application/cloudevents+json", .structured),
            ("Application/CloudEvents+JSON; charset=UTF-8", .structured),
            ("application/cloudevents-batch+json", .batch),
            ("application/cloudevents+avro", .unknown), ("application/cloudevents", .unknown),
        ]
        for (contentType, mode) in modes { #expect(CloudEventsContentMode(contentType: contentType) == mode) }
    }
}
