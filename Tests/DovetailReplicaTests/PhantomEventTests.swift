// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Foundation
import Testing

@Suite struct PhantomEventTests {
    private struct Sample<Content: Codable & Sendable>: Event {
        static var type: MessageType { "test.sample" }
        let content: Content

        init(from decoder: any Decoder) throws { content = try Content(from: decoder) }
        init(_ content: Content) { self.content = content }
        func encode(to encoder: any Encoder) throws { try content.encode(to: encoder) }
    }

    private func find(_ json: String) -> PhantomEventCheck.Phantom? {
        let attributes = EnvelopeAttributes(id: "1", source: "/test", type: "test.sample")
        return PhantomEventCheck().find(in: Envelope(attributes, payload: Bytes(json.utf8)))
    }

    @Test(arguments: [
        "{}", #"{"id":"7"}"#, #"{"orderID":"7","customerId":12}"#, #"{"order_id":"7","tenant-key":"x"}"#,
        #"{"ID":7,"UUID":"x","occurredAt":"2026-01-01T00:00:00Z","version":3}"#,
        #"{"order":"0198f5a4-7b7e-7cc0-8000-0123456789ab"}"#, #"{"order":"https://example.com/orders/7"}"#,
        #"{"order":{"id":"7","lineIDs":["1","2"]},"eventType":"placed"}"#, #"{"orderID":"7","note":null,"lines":[]}"#,
        #"{"orderID":"7","comment":""}"#, #"["0198f5a4-7b7e-7cc0-8000-0123456789ab"]"#,
    ])
    func nothingButIdentifiersIsAPhantom(json: String) {
        #expect(find(json) != nil)
    }

    @Test(arguments: [
        #"{"orderID":"7","cents":1200}"#, #"{"id":"7","customer":{"id":"8","name":"Ada"}}"#, #"{"id":"7","paid":true}"#,
        #"{"id":"7","lines":[{"id":"1"},{"id":"2","quantity":3}]}"#, #"{"id":"7","valid":"yes"}"#,
        #"{"id":"7","monkey":"Bubbles"}"#, #"{"id":"7","state":"confirmed"}"#, #"{"id":"7","paid":false}"#,
        #"{"id":"7","cents":0}"#, "7", #""confirmed""#,
    ])
    func aFieldThatSaysSomethingMakesItReal(json: String) {
        #expect(find(json) == nil)
    }

    @Test func itNamesTheFieldsItFound() {
        let phantom = find(#"{"orderID":"7","customer":{"key":"8"},"occurredAt":"2026-01-01T00:00:00Z"}"#)
        #expect(phantom?.fields == ["customer.key", "occurredAt", "orderID"])
        #expect(phantom?.description.contains("test.sample") == true)
        #expect(find("no JSON") == nil)
    }

    @Test func itIsFoundAtTheLineOfTheTest() throws {
        struct OrderPlaced: Event {
            static let type: MessageType = "shop.order.placed"
            let orderID: String
            let placedAt: Date
        }
        struct OrderPaid: Event {
            static let type: MessageType = "shop.order.paid"
            let orderID: String
            let cents: Int
        }
        let phantom = OrderPlaced(orderID: "7", placedAt: .distantPast)
        PhantomEventCheck().run(on: OrderPaid(orderID: "7", cents: 5))
        PhantomEventCheck(allowing: [OrderPlaced.type]).run(on: phantom)
        withKnownIssue {
            PhantomEventCheck().run(on: OrderPaid(orderID: "7", cents: 5), phantom)
        } matching: { issue in
            issue.sourceLocation?.fileName == "PhantomEventTests.swift"
                && issue.comments.contains { $0.rawValue.contains("shop.order.placed") }
        }
        #expect(try PhantomEventCheck().find(in: phantom)?.fields == ["orderID", "placedAt"])
    }

    @Test func aSampleThatIsNoJSONIsAnError() {
        #expect(throws: MessageError.self) { _ = try PhantomEventCheck().find(in: Sample(Double.infinity)) }
    }
}
