// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension EnvelopeAttributes {
    /// Attributes in which each field says something, and most of it something awkward.
    public static var full: EnvelopeAttributes {
        var attributes = EnvelopeAttributes(
            id: "id \"quoted\" \u{0} \u{1F600}", source: "/s", type: "t.u", topic: "another.topic")
        attributes.version = MessageVersion(major: 2, minor: 14)
        attributes.subject = ""
        attributes.time = Timestamp(secondsSinceEpoch: -1, nanoseconds: 999_999_999)
        attributes.expiry = .latest
        attributes.notBefore = .earliest
        // Two ways to write an accent.
        attributes.tenant = "e\u{301}"
        attributes.partitionKey = "\u{E9}"
        attributes.correlationID = "c"
        attributes.causationID = "d"
        attributes.trace = TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00").map {
            TraceContext(traceParent: $0, traceState: TraceState("vendor=value"))
        }
        attributes.baggage = Baggage("user=alice,plan=gold;ttl=60")
        attributes.contentType = "application/json"
        attributes.schema = .version(subject: "a b:c", 3)
        attributes.headers = ["Name": "1", "other": "", "\u{E4}": "\n"]
        attributes.extensions = [
            "text": .string("7"), "number": .integer(.min), "yes": .boolean(true), "no": .boolean(false),
        ]
        return attributes
    }
}
