// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct SchemaReferenceTests {
    @Test(
        "Each reference has its text, and the text its reference",
        arguments: [
            (.version(subject: "orders", 2), "urn:dovetail:schema:version:orders:2"),
            (.version(subject: "a:b c/é%", 0), "urn:dovetail:schema:version:a%3Ab%20c%2F%C3%A9%25:0"),
            (.version(subject: "", -1), "urn:dovetail:schema:version::-1"), (.id("7"), "urn:dovetail:schema:id:7"),
            (.id("a:b"), "urn:dovetail:schema:id:a%3Ab"), (.id(""), "urn:dovetail:schema:id:"),
            (.id("-._~AZaz09"), "urn:dovetail:schema:id:-._~AZaz09"),
            (.uri("https://example.com/schemas/order?v=2"), "https://example.com/schemas/order?v=2"), (.uri(""), ""),
        ] as [(SchemaReference, String)])
    func roundTrips(reference: SchemaReference, text: String) {
        #expect(reference.text == text)
        #expect(SchemaReference(text: text) == reference)
    }

    @Test(
        "A text that we would have written otherwise is kept as it is",
        arguments: [
            "urn:dovetail:schema:", "urn:dovetail:schema:id", "urn:dovetail:schema:id:a:b", "urn:dovetail:schema:id:%4",
            "urn:dovetail:schema:id:%zz", "urn:dovetail:schema:id:%ff", "urn:dovetail:schema:id:%41",
            "urn:dovetail:schema:id:%3a", "urn:dovetail:schema:id:%+1", "urn:dovetail:schema:id:é",
            "urn:dovetail:schema:version:s:+2", "urn:dovetail:schema:version:s:02", "urn:dovetail:schema:version:s:x",
            "urn:dovetail:schema:version:s:99999999999999999999", "urn:dovetail:schema:other:1",
            "URN:dovetail:schema:id:7", " urn:dovetail:schema:id:7",
        ])
    func foreign(text: String) {
        #expect(SchemaReference(text: text) == .uri(text))
    }

    @Test("No text changes on its way through a reference")
    func anyText() {
        var envelopes = RandomEnvelopes(seed: 3)
        for _ in 0..<500 {
            let text = ["", "urn:dovetail:schema:id:", "urn:dovetail:schema:version:"].randomElement() ?? ""
            let whole = text + envelopes.text()
            #expect(Array(SchemaReference(text: whole).text.utf8) == Array(whole.utf8))
        }
    }

    @Test("A schema is named by the SHA-256 of its text")
    func fingerprint() {
        let schema = Schema(.json, text: "{}")
        #expect(schema.fingerprint == SHA256.hash(Array("{}".utf8)))
        #expect(schema.fingerprint != Schema(.json, text: "{ }").fingerprint)
        #expect(schema != Schema(.avro, text: "{}"))
    }
}
