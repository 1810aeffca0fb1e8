// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct CloudEventsJSONFormatTests {
    private let format = CloudEventsJSONFormat()

    private func envelope(_ payload: String = "", contentType: String? = "application/json") -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(id: "1", source: "/orders", type: "shop.order.placed")
        attributes.contentType = contentType
        return Envelope(attributes, payload: Array(payload.utf8))
    }

    private func encode(_ envelope: Envelope<Bytes>) throws -> String {
        String(decoding: try format.encode(envelope), as: UTF8.self)
    }

    /// Decodes an event that has these members beside the required ones.
    private func decode(_ members: String) throws -> Envelope<Bytes> {
        let text = #"{"specversion":"1.0","id":"1","source":"/s","type":"t"\#(members.isEmpty ? "" : ",")\#(members)}"#
        return try format.decode(Array(text.utf8))
    }

    private func failure(_ members: String) -> String {
        let error = #expect(throws: MessageError.self) { try decode(members) }
        #expect(error?.code == .invalidCloudEvent)
        return error?.message ?? ""
    }

    // MARK: - Attributes

    @Test("Each attribute has its place in the event")
    func everyAttribute() throws {
        var attributes = EnvelopeAttributes(id: "1", source: "/orders", type: "shop.order.placed")
        attributes.version = MessageVersion(major: 2, minor: 1)
        attributes.subject = "order-7"
        attributes.time = Timestamp(rfc3339: "2026-03-01T09:30:00.25Z")
        attributes.expiry = Timestamp(rfc3339: "2026-03-02T00:00:00Z")
        attributes.notBefore = Timestamp(rfc3339: "2026-03-01T10:00:00Z")
        attributes.tenant = "acme"
        attributes.partitionKey = "7"
        attributes.correlationID = "c"
        attributes.causationID = "b"
        attributes.trace = TraceContext.extract(from: [
            ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("tracestate", "congo=t61"),
        ])
        attributes.baggage = Baggage("plan=gold")
        attributes.contentType = "application/json"
        attributes.schema = .version(subject: "orders", 3)
        attributes.headers = ["reply-to": "shop.replies", "x": "\""]
        attributes.extensions = ["sampled": .boolean(true), "rate": .integer(-3), "region": "eu"]
        let envelope = Envelope(attributes, payload: Array(#"{"a":1}"#.utf8))
        let text = try encode(envelope)
        #expect(
            text == #"{"specversion":"1.0","id":"1","source":"/orders","type":"shop.order.placed","subject":"order-7","#
                + #""time":"2026-03-01T09:30:00.250Z","datacontenttype":"application/json","#
                + #""dataschema":"urn:dovetail:schema:version:orders:3","partitionkey":"7","#
                + #""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01","tracestate":"congo=t61","#
                + #""baggage":"plan=gold","correlationid":"c","causationid":"b","expirytime":"2026-03-02T00:00:00Z","#
                + #""messageversion":"2.1","notbefore":"2026-03-01T10:00:00Z","tenant":"acme","#
                + #""dovetailheaders":"{\"reply-to\":\"shop.replies\",\"x\":\"\\\"\"}","#
                + #""rate":-3,"region":"eu","sampled":true,"data":{"a":1}}"#)
        #expect(try format.decode(Array(text.utf8)) == envelope)
    }

    @Test("An event without our attributes has none of them, and the version 1")
    func foreignEvent() throws {
        let envelope = try decode(#""comexampleextension":"value""#)
        #expect(envelope.version == 1)
        #expect(envelope.topic == "t")
        #expect(envelope.correlationID == nil && envelope.causationID == nil && envelope.trace == nil)
        #expect(envelope.headers.isEmpty)
        #expect(envelope.extensions == ["comexampleextension": "value"])
        #expect(envelope.payload.isEmpty)
        #expect(!(try encode(envelope)).contains("messageversion"))
    }

    @Test("The topic is the one that was read from")
    func topic() throws {
        let bytes = try format.encode(envelope())
        #expect(try format.decode(bytes, topic: "orders").topic == "orders")
        #expect(try format.decode(bytes).topic == "shop.order.placed")
        #expect(try format.decodeBatch(format.encodeBatch([envelope()]), topic: "orders").map(\.topic) == ["orders"])
    }

    @Test(
        "A value of ours that cannot be read is kept as it came, and written again",
        arguments: [
            (#""messageversion":"abc""#, "messageversion", "abc"), (#""messageversion":"-1""#, "messageversion", "-1"),
            (#""messageversion":-7"#, "messageversion", .integer(-7)), (#""tenant":5"#, "tenant", .integer(5)),
            (#""tenant":false"#, "tenant", .boolean(false)), (#""expirytime":"soon""#, "expirytime", "soon"),
            (#""notbefore":"2026-13-01T00:00:00Z""#, "notbefore", "2026-13-01T00:00:00Z"),
            (#""traceparent":"00-00""#, "traceparent", "00-00"), (#""tracestate":"a=1""#, "tracestate", "a=1"),
            (#""baggage":"no members""#, "baggage", "no members"), (#""baggage":"""#, "baggage", ""),
            (#""dovetailheaders":"{}""#, "dovetailheaders", "{}"), (#""dovetailheaders":"x""#, "dovetailheaders", "x"),
            (#""dovetailheaders":"{\"a\":1}""#, "dovetailheaders", #"{"a":1}"#),
            (#""dovetailheaders":"{\"a\":\"1\",\"A\":\"2\"}""#, "dovetailheaders", #"{"a":"1","A":"2"}"#),
        ] as [(String, String, ExtensionValue)]
    )
    func keptAsItCame(member: String, name: String, value: ExtensionValue) throws {
        let envelope = try decode(member)
        #expect(envelope.extensions == [name: value])
        #expect(envelope.version == 1)
        #expect(try encode(envelope).contains(member))
        #expect(try format.decode(format.encode(envelope)) == envelope)
    }

    @Test("A malformed tracestate is kept beside the trace that goes on without it")
    func malformedTraceState() throws {
        let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
        let envelope = try decode(#""tracestate":"=","traceparent":"\#(parent)""#)
        #expect(envelope.trace?.traceParent.text == parent)
        #expect(envelope.trace?.traceState == nil)
        #expect(envelope.extensions == ["tracestate": "="])
        #expect(try format.decode(format.encode(envelope)) == envelope)
    }

    @Test("A field that is set wins over what was kept under its name")
    func fieldWins() throws {
        var envelope = try decode(#""messageversion":"abc""#)
        envelope.version = 2
        #expect(try format.decode(format.encode(envelope)).version == 2)
        #expect(try format.decode(format.encode(envelope)).extensions.isEmpty)
    }

    @Test("A version may come as a number")
    func versionAsNumber() throws {
        #expect(try decode(#""messageversion":3"#).version == 3)
    }

    @Test("Headers may come with white space and escapes")
    func foreignHeaders() throws {
        let envelope = try decode(#""dovetailheaders":" { \"b\" : \"\\u0041\" , \"a\" : \"\" } ""#)
        #expect(envelope.headers == ["b": "A", "a": ""])
    }

    @Test("Times are equal when their instants are")
    func instants() throws {
        let there = try decode(#""time":"2018-04-05T18:31:00.000+01:00","expirytime":"2018-04-05T16:31:00-01:00""#)
        #expect(there.time == Timestamp(rfc3339: "2018-04-05T17:31:00Z"))
        #expect(there.expiry == there.time)
    }

    @Test("A null is an attribute that is not set")
    func nulls() throws {
        let envelope = try decode(
            #""subject":null,"time":null,"datacontenttype":null,"dataschema":null,"tenant":null,"other":null,"#
                + #""messageversion":null,"data_base64":null"#)
        #expect(envelope == (try decode("")))
    }

    // MARK: - Data

    @Test(
        "JSON data is spliced in and read back byte by byte",
        arguments: [
            "null", "false", "0", "-1.50E+3", #""text""#, #""\u0041\ud83d\ude00""#, "[]", "{}", #"{ "b" : [ 1 ,2 ] }"#,
            "{\n\t\"a\": 1,\r\n \"a\": 2\n}", #"{"é":"日本"}"#, "100000000000000000000000000000000000.10",
        ],
        ["application/json", "text/json", "application/vnd.shop+json", "Application/JSON; charset=UTF-8"]
    )
    func spliced(payload: String, contentType: String) throws {
        let envelope = envelope(payload, contentType: contentType)
        let text = try encode(envelope)
        #expect(text.hasSuffix(#","data":\#(payload)}"#))
        #expect(try format.decode(Array(text.utf8)) == envelope)
    }

    @Test(
        "What is not exactly one JSON value travels in Base64",
        arguments: [
            " {}", "{}\n", "\u{feff}{}", "{", "{}{}", "tru", "01", "text", #""\ud800""#, "\"a\nb\"", "{'a':1}", " ",
            String(repeating: "[", count: 511) + String(repeating: "]", count: 511),
        ]
    )
    func notSpliced(payload: String) throws {
        let envelope = envelope(payload)
        let text = try encode(envelope)
        #expect(text.contains(#","data_base64":""#) && !text.contains(#""data":"#))
        #expect(try format.decode(Array(text.utf8)) == envelope)
    }

    @Test("Bytes that are not UTF-8 travel in Base64 even if they are called JSON", arguments: 1...5)
    func notUTF8(count: Int) throws {
        var envelope = envelope()
        envelope.payload = [0x22, 0xff, 0xfe, 0x80, 0x22].suffix(count)
        #expect(try encode(envelope).contains("data_base64"))
        #expect(try format.decode(format.encode(envelope)) == envelope)
    }

    @Test("JSON that is nested as deeply as an event can carry is spliced in, also in a batch")
    func deeplyNested() throws {
        let envelope = envelope(String(repeating: "[", count: 510) + String(repeating: "]", count: 510))
        #expect(try encode(envelope).contains(#""data":["#))
        #expect(try format.decode(format.encode(envelope)) == envelope)
        #expect(try format.decodeBatch(format.encodeBatch([envelope])) == [envelope])
    }

    @Test(
        "What is not called JSON travels in Base64",
        arguments: ["text/plain", "application/octet-stream", "application/xml", "application/jsonp", "json/plain"])
    func otherTypes(contentType: String) throws {
        let envelope = envelope("{}", contentType: contentType)
        #expect(try encode(envelope).hasSuffix(#","data_base64":"e30="}"#))
        #expect(try format.decode(format.encode(envelope)) == envelope)
    }

    @Test("Data without a content type is JSON, and says so from then on")
    func impliedContentType() throws {
        let written = envelope(#"{"a":1}"#, contentType: nil)
        #expect(try encode(written).hasSuffix(#""type":"shop.order.placed","data":{"a":1}}"#))
        let read = try format.decode(format.encode(written))
        #expect(read.payload == written.payload)
        #expect(read.contentType == "application/json")
        #expect(try decode(#""data":"I'm just a string""#).payload == Array(#""I'm just a string""#.utf8))
        #expect(try decode(#""data_base64":"AAE=""#).contentType == nil)
    }

    @Test("A null as data is a payload, no data is none")
    func nullData() throws {
        #expect(try decode(#""data":null"#).payload == Array("null".utf8))
        #expect(try decode(#""data":null,"datacontenttype":"text/plain""#).payload.isEmpty)
        #expect(try decode("").payload.isEmpty)
        #expect(!(try encode(envelope(""))).contains("data\""))
    }

    @Test("Text data is the characters of the string, wherever the content type stands")
    func textData() throws {
        let text = #""data":"a\n\u00e9","datacontenttype":"text/plain""#
        #expect(try decode(text).payload == Array("a\né".utf8))
        #expect(try decode(#""datacontenttype":"text/plain; charset=\"UTF-8\"","data":"é""#).payload == Array("é".utf8))
        #expect(try decode(#""datacontenttype":"text/plain;charset=latin1","data":"e""#).payload == Array("e".utf8))
    }

    @Test("Text of which another character set is asked is refused, not mangled")
    func otherCharacterSets() {
        #expect(failure(#""datacontenttype":"text/plain;charset=iso-8859-1","data":"é""#).contains("'data'"))
        #expect(failure(#""datacontenttype":"text/plain; charset=utf-16","data":"e""#).contains("data_base64"))
    }

    @Test("A payload of a megabyte survives")
    func large() throws {
        let text = "\"" + String(repeating: "é\\\"x", count: 200_000) + "\""
        let json = envelope(text)
        #expect(try format.decode(format.encode(json)) == json)
        let binary = envelope(text, contentType: "application/octet-stream")
        #expect(try format.decode(format.encode(binary)) == binary)
    }

    // MARK: - Errors

    @Test(
        "What is no event is refused with the name of the attribute",
        arguments: [
            (#""id":"2""#, "'id'", "twice"), (#""x":1,"x":1"#, "'x'", "twice"),
            (#""data":1,"data":2"#, "'data'", "twice"),
            (#""data":1,"data_base64":"""#, "'data_base64'", "beside"),
            (#""data_base64":"A""#, "'data_base64'", "Base64"), (#""data_base64":7"#, "'data_base64'", "string"),
            (#""data_base64":"YQ==YQ==""#, "'data_base64'", "Base64"),
            (#""data_base64":"_-8=""#, "'data_base64'", "Base64"),
            (#""Upper":1"#, "'Upper'", "lower-case"), (#""a-b":null"#, "'a-b'", "lower-case"),
            (#""":1"#, "''", "lower-case"),
            (#""x":1.5"#, "'x'", "whole"), (#""x":2147483648"#, "'x'", "32 bits"), (#""x":{}"#, "'x'", "object"),
            (#""subject":"""#, "'subject'", "empty"), (#""subject":7"#, "'subject'", "string"),
            (#""time":"yesterday""#, "'time'", "RFC 3339"),
            (#""datacontenttype":"json""#, "'datacontenttype'", "media type"),
            (#""datacontenttype":"a/b c""#, "'datacontenttype'", "media type"),
            (#""datacontenttype":"text/plain","data":{}"#, "'data'", "string"),
        ])
    func refused(members: String, attribute: String, reason: String) {
        let message = failure(members)
        #expect(message.contains("The attribute \(attribute) of the CloudEvent"))
        #expect(message.contains(reason))
        #expect(message.hasSuffix("."))
    }

    @Test("Whatever is missing is named", arguments: ["specversion", "id", "source", "type"])
    func missing(name: String) throws {
        let members = ["specversion": "1.0", "id": "1", "source": "/s", "type": "t"].filter { $0.key != name }
        let text = "{" + members.map { #""\#($0.key)":"\#($0.value)""# }.joined(separator: ",") + "}"
        let error = #expect(throws: MessageError.self) { try format.decode(Array(text.utf8)) }
        #expect(error?.message.contains("'\(name)'") == true)
    }

    @Test(
        "Bytes that are not JSON are refused with the place",
        arguments: ["", "{", "[]", "7", "{}x", #"{"id":}"#, "\u{feff}{}"])
    func notJSON(text: String) {
        let error = #expect(throws: MessageError.self) { try format.decode(Array(text.utf8)) }
        #expect(error?.code == .invalidCloudEvent)
        #expect(error?.message.isEmpty == false)
    }

    @Test("Huge values stay out of messages")
    func shortMessages() {
        for letter in ["9", "e\u{301}", "\u{301}"] {
            let message = failure(#""time":"\#(String(repeating: letter, count: 100_000))""#)
            #expect(message.utf8.count < 400)
        }
    }

    // MARK: - Batches

    @Test("A batch keeps the order of its events")
    func batch() throws {
        let envelopes = [envelope("1"), envelope("x", contentType: "text/plain"), envelope()]
        #expect(try format.decodeBatch(format.encodeBatch(envelopes)) == envelopes)
        #expect(try format.encodeBatch([]) == Array("[]".utf8))
        #expect(try format.decodeBatch(Array(" [ ] ".utf8)).isEmpty)
    }

    @Test("A bad event is named by its place in the batch")
    func badBatch() throws {
        let good = try encode(envelope())
        let error = #expect(throws: MessageError.self) { try format.decodeBatch(Array("[\(good),{}]".utf8)) }
        #expect(error?.message.hasPrefix("Event 1 of the batch: The attribute") == true)
        #expect(throws: MessageError.self) { try format.decodeBatch(Array(good.utf8)) }
        #expect(throws: MessageError.self) { try format.decodeBatch(Array("[\(good),]".utf8)) }
        #expect(throws: MessageError.self) { try format.decodeBatch(Array("[\(good)] 1".utf8)) }
    }

    // MARK: - Writing

    @Test("An envelope that would make no valid event is not written")
    func invalidEnvelopes() {
        func refuse(_ change: (inout Envelope<Bytes>) -> Void, _ reason: String) {
            var envelope = envelope()
            change(&envelope)
            for encode in [format.encode, { try format.encodeBatch([$0]) }] {
                let error = #expect(throws: MessageError.self) { try encode(envelope) }
                #expect(error?.code == .invalidEnvelope)
                #expect(error?.message.contains(reason) == true)
            }
        }
        refuse({ $0.id = "" }, "identifier")
        refuse({ $0.source = "" }, "source")
        refuse({ $0.type = "" }, "type")
        refuse({ $0.contentType = "json" }, "'json'")
        refuse({ $0.extensions = ["my-extension": "x"] }, "'my-extension'")
        refuse({ $0.extensions = ["data": "x"] }, "'data'")
        refuse({ $0.extensions = ["": "x"] }, "''")
        refuse({ $0.extensions = ["subject": "x"] }, "'subject'")
    }

    @Test("What CloudEvents does not allow to be empty is left out")
    func emptyAttributes() throws {
        var empty = envelope()
        empty.subject = ""
        empty.contentType = ""
        empty.schema = .uri("")
        empty.baggage = Baggage()
        #expect(try format.decode(format.encode(empty)) == envelope(contentType: nil))
    }

    @Test("Extensions are written in the order of their names, so that equal envelopes have equal bytes")
    func stableOrder() throws {
        var one = envelope()
        var two = envelope()
        for name in ["c", "a", "d", "b", "e"] { one.extensions[name] = "1" }
        for name in ["e", "d", "c", "b", "a"] { two.extensions[name] = "1" }
        #expect(try format.encode(one) == format.encode(two))
    }
}
