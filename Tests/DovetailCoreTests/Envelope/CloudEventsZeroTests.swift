// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

/// The one character that no event has: of a text with it nothing could be stored in PostgreSQL.
@Suite struct CloudEventsZeroTests {
    private static let names = [
        "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "partitionkey",
        "traceparent", "tracestate", "baggage", "correlationid", "causationid", "expirytime", "messageversion",
        "notbefore", "tenant", "dovetailheaders", "other",
    ]

    private let json = CloudEventsJSONFormat()

    /// The attributes of an event, one of them with this value.
    private func attributes(_ name: String, _ value: String) -> [(name: String, value: String)] {
        let required = [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t")]
        return required.filter { $0.0 != name }.map { (name: $0.0, value: $0.1) } + [(name: name, value: value)]
    }

    /// The bytes of an event in JSON, with the value as it stands between quotes.
    private func event(_ name: String, _ value: String) -> Bytes {
        let members = attributes(name, value).map { #""\#($0.name)":"\#($0.value)""# }
        return Bytes("{\(members.joined(separator: ","))}".utf8)
    }

    private func headers(_ naming: CloudEventsHeaderNaming, _ name: String, _ value: String) -> [Headers.Element] {
        attributes(name, value).map { attribute in
            let isContentType = attribute.name == "datacontenttype"
            return Headers.Element(
                name: isContentType ? naming.contentType : naming.prefix + attribute.name, value: attribute.value)
        }
    }

    private func expectRefusal(of name: String, _ decode: @escaping () throws -> Envelope<Bytes>) {
        let error = #expect(throws: MessageError.self) { try decode() }
        #expect(error?.code == .invalidCloudEvent)
        #expect(error?.message.contains("'\(name)' of the CloudEvent has the character U+0000") == true)
        #expect(error?.description.utf8.contains(0) == false)
    }

    @Test("In JSON it is refused in each attribute by name", arguments: names)
    func refusedInJSON(name: String) {
        let bytes = event(name, #"a\u0000b"#)
        expectRefusal(of: name) { try json.decode(bytes) }
    }

    @Test(
        "In headers it is refused in each attribute by name", arguments: names,
        [CloudEventsHeaderNaming.kafka, .http, .amqp])
    func refusedInHeaders(name: String, naming: CloudEventsHeaderNaming) {
        let format = CloudEventsBinaryFormat(naming)
        let raw = headers(naming, name, "a\u{0}b")
        expectRefusal(of: name) { try format.decode(headers: raw, payload: []) }
        guard naming.isHTTP, name != "datacontenttype" else { return }
        let encoded = headers(naming, name, "a%00b")
        expectRefusal(of: name) { try format.decode(headers: encoded, payload: []) }
    }

    @Test(
        "It is refused in the headers of the application",
        arguments: [#"{"\u0000":"1"}"#, #"{"b":"1","a":"x\u0000"}"#])
    func refusedInOwnHeaders(text: String) throws {
        let format = CloudEventsBinaryFormat(.kafka)
        let list = headers(.kafka, "dovetailheaders", text)
        expectRefusal(of: "dovetailheaders") { try format.decode(headers: list, payload: []) }
        // Text that only looks like its escape is none.
        let harmless = headers(.kafka, "dovetailheaders", #"{"a":"\\u0000"}"#)
        #expect(try format.decode(headers: harmless, payload: []).headers["a"] == #"\u0000"#)
    }

    @Test("The error of a name with it has none of it")
    func errorsHaveNone() {
        for member in [#""a\u0000":1"#, #""a\u0000":"b""#, #""a\u0000":null"#, #""a\u0000":{}"#] {
            let text = #"{"specversion":"1.0","id":"1","source":"/s","type":"t",\#(member)}"#
            let error = #expect(throws: MessageError.self) { try json.decode(Bytes(text.utf8)) }
            #expect(error?.code == .invalidCloudEvent && error?.description.utf8.contains(0) == false)
        }
        #expect(MessageError(.invalidEnvelope, "a\u{0}b").message == "a\u{FFFD}b")
    }

    @Test("Other control characters are taken, and data may have any")
    func othersAreTaken() throws {
        #expect(try json.decode(event("subject", #"a\tb\u0001"#)).subject == "a\tb\u{1}")
        let start = #"{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","#
        #expect(try json.decode(Bytes((start + #""data":"\u0000"}"#).utf8)).payload == [0])
    }

    @Test("What would be refused is not written")
    func notWritten() {
        func refuse(_ name: String, _ change: (inout EnvelopeAttributes) -> Void) {
            var attributes = EnvelopeAttributes(id: "1", source: "/s", type: "t")
            change(&attributes)
            let envelope = Envelope(attributes, payload: Bytes())
            let binary = CloudEventsBinaryFormat(.kafka)
            let inJSON = #expect(throws: MessageError.self) { try json.encode(envelope) }
            let inHeaders = #expect(throws: MessageError.self) { try binary.encode(envelope) }
            for error in [inJSON, inHeaders] {
                #expect(error?.code == .invalidEnvelope)
                #expect(error?.message.contains("'\(name)'") == true && error?.message.utf8.contains(0) == false)
            }
        }
        refuse("id") { $0.id = "a\u{0}" }
        refuse("source") { $0.source = "a\u{0}" }
        refuse("type") { $0.type = "a\u{0}" }
        refuse("subject") { $0.subject = "a\u{0}" }
        refuse("datacontenttype") { $0.contentType = "a/b;c=\u{0}" }
        refuse("dataschema") { $0.schema = .uri("a\u{0}") }
        refuse("partitionkey") { $0.partitionKey = "a\u{0}" }
        refuse("correlationid") { $0.correlationID = "a\u{0}" }
        refuse("causationid") { $0.causationID = "a\u{0}" }
        refuse("tenant") { $0.tenant = "a\u{0}" }
        refuse("dovetailheaders") { $0.headers = ["a\u{0}": ""] }
        refuse("dovetailheaders") { $0.headers = ["a": "\u{0}"] }
        refuse("other") { $0.extensions = ["other": "a\u{0}"] }
    }

    @Test("A byte is found wherever it stands in a text, and none that is not there", arguments: 0..<20)
    func bytesAreFound(length: Int) {
        for filler in ["\u{1}", "\u{7f}", "\\", "é"] as [Unicode.Scalar] {
            let text = String(String.UnicodeScalarView(Array(repeating: filler, count: length)))
            #expect(!text.has(byte: 0))
            for position in 0..<length {
                var scalars = Array(repeating: filler, count: length)
                scalars[position] = "\u{0}"
                #expect(String(String.UnicodeScalarView(scalars)).has(byte: 0))
            }
        }
        #expect((String(repeating: "a", count: length) + "\\").has(byte: UInt8(ascii: "\\")))
    }
}
