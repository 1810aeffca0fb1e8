// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailTesting
import TestSupport
import Testing

@testable import DovetailSQL

@Suite struct StoredAttributesTests {
    @Test("All attributes come back as they were")
    func roundTrip() throws {
        let attributes = EnvelopeAttributes.full
        #expect(attributes.trace != nil && attributes.baggage?.isEmpty == false)
        #expect(try StoredAttributes.decode(StoredAttributes.encode(attributes), of: "row") == attributes)
    }

    @Test("Texts come back byte by byte: two ways to write an accent stay two")
    func bytesAreKept() throws {
        let found = try StoredAttributes.decode(StoredAttributes.encode(EnvelopeAttributes.full), of: "row")
        #expect(found.tenant.map { Array($0.rawValue.utf8) } == Array("e\u{301}".utf8))
        #expect(found.partitionKey.map { Array($0.rawValue.utf8) } == Array("\u{E9}".utf8))
    }

    @Test("The least there is comes back as it was, with nothing added")
    func minimal() throws {
        let attributes = EnvelopeAttributes(id: "1", source: "/s", type: "t")
        let text = StoredAttributes.encode(attributes)
        #expect(text == #"{"id":"1","source":"/s","type":"t","version":[1,0],"topic":"t"}"#)
        #expect(try StoredAttributes.decode(text, of: "row") == attributes)
    }

    @Test("An empty trace state and each form of schema come back as they were")
    func edges() throws {
        var attributes = EnvelopeAttributes(id: "1", source: "/s", type: "t")
        attributes.trace = TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").map {
            TraceContext(traceParent: $0, traceState: TraceState())
        }
        for schema in [.id("7"), .uri("https://example.org/x"), .version(subject: "s", 1)] as [SchemaReference] {
            attributes.schema = schema
            #expect(try StoredAttributes.decode(StoredAttributes.encode(attributes), of: "row") == attributes)
        }
    }

    @Test("What a later release adds is left out")
    func unknownNames() throws {
        let text = #"{"id":"1","new":{"a":[1]},"source":"/s","type":"t","version":[1,0],"topic":"t"}"#
        #expect(try StoredAttributes.decode(text, of: "row").id == "1")
    }

    @Test(
        "What is not the attributes of an envelope is refused by name",
        arguments: [
            "", "{", "[]", "{}", #"{"id":1}"#, #"{"id":"1"}"#, #"{"id":"1","type":"t","time":"noon"}"#,
            #"{"id":"1","type":"t","traceParent":"x"}"#, #"{"id":"1","type":"t"} "#.dropLast() + "x",
        ]
    )
    func damaged(_ text: String) {
        let error = #expect(throws: DatabaseError.self) { try StoredAttributes.decode(text, of: "row 7") }
        #expect(error?.code == .undecodableRow && error?.message.contains("row 7") == true)
    }

    @Test("Headers keep their order and their case")
    func headers() throws {
        let headers: Headers = ["B": "1", "a": "", "C": "\u{0}"]
        #expect(try StoredAttributes.decodeHeaders(StoredAttributes.encode(headers), of: "row") == headers)
        #expect(throws: DatabaseError.self) { try StoredAttributes.decodeHeaders("{}", of: "row") }
        #expect(try StoredAttributes.decodeHeaders("[]", of: "row").isEmpty)
    }
}

@Suite struct OutboxHoldsTests {
    private typealias Hold = OutboxHolds.Hold

    private let holds = OutboxHolds([
        Hold(id: 1, lane: OutboxLane.none), Hold(id: .max, lane: .min), Hold(id: 3, lane: -1),
    ])

    @Test("A claim comes back from its bytes as it was")
    func roundTrip() throws {
        #expect(holds.bytes.count == 48)
        #expect(try OutboxHolds(bytes: holds.bytes) == holds)
        #expect(try OutboxHolds(bytes: []).isEmpty)
        #expect(throws: DatabaseError.self) { try OutboxHolds(bytes: [1, 2, 3]) }
    }

    @Test("Rows are taken once, and those not held are counted")
    func take() {
        var rest = holds
        let first = rest.take([3, 7])
        #expect(first.taken.map(\.id) == [3] && first.lost == 1)
        let again = rest.take([3])
        #expect(again.taken.isEmpty && again.lost == 1)
        let last = rest.take([1, .max])
        #expect(last.taken.map(\.id) == [1, .max] && last.lost == 0 && rest.isEmpty)
    }

    @Test("A lane has one number, other lanes have others, and no key has none")
    func lanes() {
        func number(_ topic: Topic, _ key: PartitionKey?) -> Int64 {
            var attributes = EnvelopeAttributes(id: "1", source: "/s", type: "t", topic: topic)
            attributes.partitionKey = key
            return OutboxLane.number(of: attributes)
        }
        #expect(number("t", nil) == OutboxLane.none)
        #expect(number("t", "a") == number("t", "a") && number("t", "a") != OutboxLane.none)
        // Fixed for good: rows of two releases must agree.
        #expect(number("t", "a") == -8_579_902_917_738_076_556)
        let others = [
            number("t", "b"), number("ta", ""), number("", "ta"), number("t", ""), number("1:t", "a"), number("t", "A"),
        ]
        #expect(Set(others + [number("t", "a")]).count == 7)
    }
}

@Suite struct StoredNumbersTests {
    @Test("Numbers that nobody can have meant are taken as the nearest that can be used")
    func spoiltNumbers() throws {
        #expect(Int64.max.span(since: .min) == Duration.microseconds(Int64.max))
        #expect((7 as Int64).span(since: 5) == Duration.microseconds(2))
        #expect((5 as Int64).span(since: 7) == .zero && Int64.min.span(since: .max) == .zero)
        func count(_ number: Int64) throws -> Int {
            try SQLRow(columns: SQLRow.Columns(["n"]), values: [.integer(number)]).count(0)
        }
        #expect(try count(3) == 3 && count(-3) == 0 && count(.min) == 0)
        #expect(try count(.max) + count(.max) == 2 * Int(Int32.max))
    }
}
