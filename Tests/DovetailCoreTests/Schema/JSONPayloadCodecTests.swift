// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation
import Testing

@Suite struct JSONPayloadCodecTests {
    private let codec = JSONPayloadCodec()

    private struct Order: Event, Equatable {
        static let type: MessageType = "shop.order.placed"
        var zebra = 1
        var apple = "a/b"
        var date: Date?
        var share: Double?
    }

    private func envelope(_ text: String) -> Envelope<Bytes> {
        Envelope(
            EnvelopeAttributes(id: "id-1", source: "/s", type: Order.type), payload: Array(text.utf8))
    }

    @Test("Payloads have sorted keys and plain slashes, so that equal messages have equal bytes")
    func encoding() async throws {
        let payload = try await codec.encode(Order())
        #expect(String(decoding: payload.bytes, as: UTF8.self) == #"{"apple":"a/b","zebra":1}"#)
        #expect(payload.contentType == "application/json")
        #expect(payload.schema == nil)
    }

    @Test(
        "A date keeps its fraction, with no more digits than it needs",
        arguments: [
            (0, "2001-01-01T00:00:00Z"), (0.5, "2001-01-01T00:00:00.500Z"), (-0.25, "2000-12-31T23:59:59.750Z"),
            (794_050_200.123, "2026-03-01T09:30:00.123Z"), (794_050_200.123456, "2026-03-01T09:30:00.123456Z"),
            (-978_307_200, "1970-01-01T00:00:00Z"), (1_722_816_000, "2055-08-06T00:00:00Z"),
        ])
    func dates(interval: Double, text: String) async throws {
        let order = Order(date: Date(timeIntervalSinceReferenceDate: interval))
        let payload = try await codec.encode(order)
        #expect(String(decoding: payload.bytes, as: UTF8.self).contains(#""date":"\#(text)""#))
        #expect(
            try await codec.decode(Order.self, from: envelope(#"{"apple":"a/b","zebra":1,"date":"\#(text)"}"#)) == order
        )
    }

    @Test("Any date of our time comes back as the same date")
    func anyDate() async throws {
        var random = SeededRandom(seed: 11).generator
        for sign in [-1.0, 1] {
            for _ in 0..<250 {
                // Within some months of 2001, where Foundation counts from, its dates are finer than a nanosecond.
                let interval = sign * Double.random(in: 1e7...3e9, using: &random)
                let order = Order(date: Date(timeIntervalSinceReferenceDate: interval))
                let payload = try await codec.encode(order)
                #expect(try await codec.decode(Order.self, from: envelope("").with(payload: payload.bytes)) == order)
            }
        }
    }

    @Test("Dates of other systems are read with any offset and any digits")
    func foreignDates() async throws {
        let text = #"{"apple":"","zebra":0,"date":"2026-03-01T10:30:00.1234567+01:00"}"#
        let date = try await codec.decode(Order.self, from: envelope(text)).date
        #expect(abs((date?.timeIntervalSinceReferenceDate ?? 0) - 794_050_200.1234567) < 1e-6)
    }

    @Test(
        "What cannot be decoded says which message and keeps the cause",
        arguments: [
            "", "{", "[]", #"{"zebra":"x","apple":""}"#, #"{"apple":""}"#, #"{"apple":"","zebra":1,"date":"noon"}"#,
        ])
    func undecodable(text: String) async {
        let error = await #expect(throws: MessageError.self) {
            try await codec.decode(Order.self, from: envelope(text))
        }
        #expect(error?.code == .undecodablePayload)
        #expect(error?.message.contains("'id-1'") == true)
        #expect(error?.message.contains("'shop.order.placed'") == true)
        #expect(error?.cause is DecodingError)
    }

    @Test(
        "What cannot be encoded says which type and keeps the cause",
        arguments: [.nan, .infinity, -.infinity, 1e12, -1e12, 1e300, -1e300] as [Double])
    func unencodable(interval: Double) async {
        var orders = [Order(date: Date(timeIntervalSinceReferenceDate: interval))]
        if !interval.isFinite { orders.append(Order(share: interval)) }
        for order in orders {
            let error = await #expect(throws: MessageError.self) { try await codec.encode(order) }
            #expect(error?.code == .unencodablePayload)
            #expect(error?.message.contains("'shop.order.placed'") == true)
            #expect(error?.cause is EncodingError)
            // The error is going to be logged.
            #expect(error.map { "\($0)" }?.isEmpty == false)
        }
    }

    @Test("What a reader does not know it ignores")
    func additions() async throws {
        let order = try await codec.decode(Order.self, from: envelope(#"{"apple":"x","zebra":2,"new":{"a":[1]}}"#))
        #expect(order == Order(zebra: 2, apple: "x"))
    }
}
