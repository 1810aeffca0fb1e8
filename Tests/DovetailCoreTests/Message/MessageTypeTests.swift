// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct MessageTypeTests {
    @Test(
        "Reverse-DNS names are valid",
        arguments: [
            "shop.order", "shop.order.placed", "Shop.Order", "a.b", "io.cloudevents.test", "com.example.v2", "a1.b-2_c",
            "dovetail.no-reply", MessageType("a." + String(repeating: "b", count: 253)),
        ] as [MessageType])
    func valid(type: MessageType) throws {
        try type.validate()
    }

    @Test(
        "Other names are refused with what is wrong and an example",
        arguments: [
            ("", "empty part"), ("shop", "fewer than two parts"), ("shop.", "empty part"), (".shop", "empty part"),
            ("shop..order", "empty part"), ("shop.1order", "start with a letter"), ("shop.-a", "start with a letter"),
            ("shop._a", "start with a letter"), ("shop order.placed", "character other"),
            ("shop.größe", "character other"),
            ("shop.order\n", "character other"), ("shop/order.x", "character other"),
            (MessageType("a." + String(repeating: "b", count: 254)), "longer than 255"),
        ] as [(MessageType, String)])
    func invalid(type: MessageType, reason: String) {
        let error = #expect(throws: MessageError.self) { try type.validate() }
        #expect(error?.code == .invalidType)
        #expect(error?.message.contains(reason) == true)
        #expect(error?.message.contains("'shop.order.placed'") == true)
    }

    @Test("A type from elsewhere is kept, whatever its form")
    func foreign() {
        #expect(MessageType("What ever / this is").rawValue == "What ever / this is")
        #expect("\(MessageType("x y"))" == "x y")
    }

    @Test("An error tells its code, its message and its cause in one line")
    func errorDescription() {
        struct Cause: Error, CustomStringConvertible { let description = "because" }
        #expect("\(MessageError(.invalidType, "Do this."))" == "invalidType: Do this.")
        #expect(
            "\(MessageError(.undecodablePayload, "Do that.", cause: Cause()))"
                == "undecodablePayload: Do that. (because)")
        #expect(MessageError.Code.invalidEnvelope != .invalidCloudEvent)
        #expect("\(MessageError.Code.unknownSchema)" == "unknownSchema")
    }
}
