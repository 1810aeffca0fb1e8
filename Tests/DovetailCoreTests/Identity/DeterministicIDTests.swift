// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct DeterministicIDTests {
    @Test(
        "An id never changes from release to release",
        arguments: [
            ("", [], "374708ff-f771-8dd5-979e-c875d56cd228"),
            ("payment", ["order-1", "EUR"], "81dd6bb3-bf60-83f9-8f0b-681acaf41e87"),
            ("payment", [""], "26513213-148f-84f5-9da4-9f7cefea8817"),
            ("shipment", ["order-1", "EUR"], "8ae9784a-f695-886c-bf60-f5a077e639b6"),
            ("näme", ["ü", "☃"], "4165cb9d-d3cf-848a-afff-97817c51a7fe"),
        ] as [(String, [String], String)]
    )
    func knownValues(namespace: String, fields: [String], id: String) {
        #expect(DeterministicID.make(namespace: namespace, fields) == id)
    }

    @Test("Lists of fields that read alike when joined have different ids")
    func noTwoListsCollide() {
        let lists: [[String]] = [
            [], [""], ["", ""], ["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["", "abc"], ["a", "b", "c"],
            ["c", "ab"],
            ["\u{0}"], ["\u{0}\u{0}"], ["a\u{0}", "b"], ["a", "\u{0}b"],
        ]
        let ids = Set(lists.map { DeterministicID.make(namespace: "n", $0) })
        #expect(ids.count == lists.count)
    }

    @Test("A namespace is no field, and separates equal fields")
    func namespaceSeparates() {
        let ids: Set = [
            DeterministicID.make(namespace: "a", ["b"]), DeterministicID.make(namespace: "b", ["b"]),
            DeterministicID.make(namespace: "", ["a", "b"]), DeterministicID.make(namespace: "ab", []),
            DeterministicID.make(namespace: "a", ["", "b"]),
        ]
        #expect(ids.count == 5)
    }

    @Test("Every id says that it is a UUID of version 8")
    func versionAndVariant() {
        for number in 0..<1000 {
            let text = Array(DeterministicID.make(namespace: "n", ["\(number)"]).utf8)
            #expect(text.count == 36)
            #expect(text[14] == UInt8(ascii: "8"))
            #expect("89ab".utf8.contains(text[19]))
        }
    }
}
