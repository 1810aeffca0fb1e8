// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct EnvelopeAttributesTests {
    private func attributes() -> EnvelopeAttributes {
        EnvelopeAttributes(id: "1", source: "/s", type: "shop.order.placed")
    }

    /// Each changes one attribute.
    private static let changes: [@Sendable (inout EnvelopeAttributes) -> Void] = [
        { $0.id = "2" }, { $0.source = "/t" }, { $0.type = "x.y" }, { $0.version = 2 }, { $0.topic = "t" },
        { $0.subject = "s" }, { $0.time = .earliest }, { $0.expiry = .latest }, { $0.notBefore = .latest },
        { $0.tenant = "acme" }, { $0.partitionKey = "k" }, { $0.correlationID = "c" }, { $0.causationID = "b" },
        {
            $0.trace = TraceContext.extract(from: [
                ("traceparent", "00-\(String(repeating: "1", count: 32))-2222222222222222-01")
            ])
        },
        { $0.baggage = Baggage("a=1") }, { $0.contentType = "text/plain" }, { $0.schema = .id("7") },
        { $0.headers["a"] = "1" }, { $0.extensions["a"] = "1" },
    ]

    @Test("A copy is independent, whichever attribute is changed", arguments: changes.indices)
    func valueSemantics(index: Int) {
        let original = attributes()
        var copy = original
        Self.changes[index](&copy)
        #expect(original == attributes())
        #expect(copy != original)
        #expect(copy.hashValue != original.hashValue)
        var again = attributes()
        Self.changes[index](&again)
        #expect(again == copy)
        #expect(Set([again, copy, original]).count == 2)
        // And the other way round: the copy does not see what happens to the original.
        var changed = copy
        changed.subject = "other"
        #expect(copy.subject != "other")
    }

    @Test("Copies in many tasks change only themselves", .timeLimit(.minutes(10)))
    func manyTasks() async {
        var shared = attributes()
        shared.headers = ["round": "0"]
        let original = shared
        await withTaskGroup(of: Bool.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for round in 0..<500 {
                        var copy = original
                        copy.subject = "\(task)"
                        copy.headers["round"] = "\(round)"
                        let second = copy
                        copy.subject = nil
                        guard second.subject == "\(task)", second.headers["round"] == "\(round)",
                            original.subject == nil, original.headers["round"] == "0"
                        else { return false }
                    }
                    return true
                }
            }
            for await isIntact in group { #expect(isIntact) }
        }
        #expect(original == shared)
    }

    @Test("The topic is the one named like the type unless given")
    func topic() {
        #expect(attributes().topic == "shop.order.placed")
        #expect(EnvelopeAttributes(id: "1", source: "/s", type: "a.b", topic: "t").topic == "t")
    }

    @Test("What every message must have is asked for by name", arguments: ["identifier", "source", "type", "topic"])
    func validation(missing: String) throws {
        try attributes().validate()
        var attributes = attributes()
        switch missing {
        case "identifier": attributes.id = ""
        case "source": attributes.source = ""
        case "type": attributes.type = ""
        default: attributes.topic = ""
        }
        let error = #expect(throws: MessageError.self) { try attributes.validate() }
        #expect(error?.code == .invalidEnvelope)
        #expect(error?.message.contains("empty \(missing)") == true)
    }

    @Test("An envelope gives its attributes by name and keeps them with another payload")
    func envelope() {
        var envelope = Envelope(attributes(), payload: [1, 2])
        envelope.subject = "s"
        #expect(envelope.attributes.subject == "s")
        let other = envelope.with(payload: "text")
        #expect(other.attributes == envelope.attributes)
        #expect(other.payload == "text")
        #expect(envelope == envelope.with(payload: [1, 2]))
        #expect(envelope != envelope.with(payload: [1]))
    }

    @Test("Extension values have the text that headers carry")
    func extensionValues() {
        #expect(ExtensionValue.string("a").text == "a")
        #expect(ExtensionValue.integer(.min).text == "-2147483648")
        #expect(ExtensionValue.boolean(true).text == "true" && ExtensionValue.boolean(false).text == "false")
    }
}
