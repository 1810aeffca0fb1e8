// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Letters as the services of a shop leave them after a bad night.
struct Demo {
    let now: Timestamp
    let runtime: Runtime

    private struct Kind {
        let reason: DeadLetterReason
        let type: MessageType
        let consumer: String
        let failure: (Int) -> FailureDetail
    }

    private let kinds = [
        Kind(reason: .timeoutOrNetwork, type: "shop.order.placed", consumer: "payments") { number in
            FailureDetail(
                type: "Payments.BankError", place: "timedOut",
                message: "No answer for order \(number) within 2.0 seconds.")
        },
        Kind(reason: .timeoutOrNetwork, type: "shop.order.placed", consumer: "payments") { number in
            FailureDetail(
                type: "Payments.BankError", place: "refused",
                message: "Connection refused by bank-\(number % 3).example.")
        },
        Kind(reason: .schemaMismatch, type: "shop.stock.moved", consumer: "inventory") { number in
            FailureDetail(
                type: "Swift.DecodingError", place: "keyNotFound",
                message: "No value for the key 'warehouse' in move \(number).")
        },
        Kind(reason: .businessRule, type: "shop.order.placed", consumer: "payments") { number in
            FailureDetail(
                type: "Payments.Declined", place: "limit", message: "Order \(number) is over the customer's limit.")
        },
        Kind(reason: .poison, type: "shop.parcel.sent", consumer: "mail") { number in
            FailureDetail(
                type: "Mail.TemplateError", place: "Templates/parcel.swift:88",
                message: "Parcel \(number) has no receiver.")
        },
        Kind(reason: .expired, type: "shop.price.quoted", consumer: "shop-window") { number in
            FailureDetail(type: "expired", message: "Quote \(number) was of use until midnight.")
        },
    ]

    func letters(_ count: Int) -> [DeadLetter] {
        (0..<count).map { number in
            // The first kinds are the most frequent ones.
            let kind = kinds[(number * number + number / 3) % kinds.count]
            let id = runtime.makeMessageID()
            var attributes = EnvelopeAttributes(
                id: id, source: "/shop", type: kind.type, topic: Topic(kind.type.rawValue))
            attributes.time = now - .seconds(Int64(count - number) * 7 + 30)
            attributes.partitionKey = PartitionKey("order-\(number % 97)")
            attributes.correlationID = CorrelationID(id.rawValue)
            attributes.tenant = number % 5 == 0 ? "gold-books" : number % 5 < 3 ? "acme" : nil
            attributes.contentType = "application/json"
            let payload = #"{"order":"order-\#(number % 97)","number":\#(number)}"#
            let content = Delivery.Content.envelope(Envelope(attributes, payload: Bytes(payload.utf8)))
            let topic = Topic(kind.type.rawValue)
            return DeadLetter(
                id: DeadLetter.makeID(of: content, topic: topic, position: "", consumer: kind.consumer),
                content: content,
                topic: topic, position: "\(number % 4)@\(1000 + number)", consumer: kind.consumer,
                attempts: kind.reason == .timeoutOrNetwork ? 8 : 1, reason: kind.reason, failure: kind.failure(number),
                time: now - .seconds(Int64(count - number) * 7),
                tier: attributes.tenant == "gold-books" ? "gold" : .standard)
        }
    }
}
