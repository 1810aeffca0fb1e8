// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct MessageContextTests {
    private struct Placed: Event {
        static let type: MessageType = "shop.order.placed"
    }

    private struct Reserve: Command {
        static let type: MessageType = "shop.stock.reserve"
        static let version: MessageVersion = 3
        static let topic: Topic = "stock"
        var partitionKey: PartitionKey? { "sku" }
    }

    @Test("A message has the version 1, the topic named like its type and no key, unless it declares others")
    func defaults() {
        #expect(Placed.version == 1)
        #expect(Placed.topic == "shop.order.placed")
        #expect(Placed().partitionKey == nil)
        #expect(Reserve.version == 3)
        #expect(Reserve.topic == "stock")
        #expect(Reserve().partitionKey == "sku")
        #expect(Reserve.Reply.self == NoReply.self)
    }

    @Test("A message that names no conversation starts one under its own identifier")
    func correlation() {
        var attributes = EnvelopeAttributes(id: "7", source: "/s", type: "a.b")
        #expect(MessageContext(attributes: attributes, consumer: "c").correlationID == "7")
        attributes.correlationID = "talk"
        let context = MessageContext(attributes: attributes, consumer: "c", attempt: 2)
        #expect(context.correlationID == "talk")
        #expect(context.messageID == "7")
        #expect(context.attempt == 2)
    }

    @Test("The context is that of the task, and of its child tasks")
    func taskLocal() async {
        #expect(MessageContext.current == nil)
        let context = MessageContext(
            attributes: EnvelopeAttributes(id: "7", source: "/s", type: "a.b"), consumer: "payments")
        await MessageContext.$current.withValue(context) {
            async let child = MessageContext.current?.messageID
            #expect(await child == "7")
        }
        #expect(MessageContext.current == nil)
    }
}
