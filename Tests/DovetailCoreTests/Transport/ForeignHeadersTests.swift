// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct ForeignHeadersTests {
    private func numbered(_ pairs: KeyValuePairs<String, String>) -> [String] {
        ForeignHeaders.numbered(pairs.map { Headers.Element(name: $0.key, value: $0.value) })
            .map { "\($0.name)=\($0.value)" }
    }

    @Test("A number in binary form is kept as bytes, whether it happens to be text or not")
    func binaryNumbers() {
        #expect(numbered(["offset": "\u{0}\u{0}\u{0}*"]) == ["offset=data:;base64,AAAAKg=="])
        let text = ForeignHeaders.text(of: [0, 0, 0, 0xC8])
        #expect(numbered(["offset": text]) == ["offset=data:;base64,AAAAyA=="])
    }

    @Test("A name with the character zero is kept as bytes too, under a name of its own")
    func names() {
        // What stands for the two differs in the case of a letter only.
        let names = numbered(["\u{0}\u{0}h": "1", "\u{0}\u{0}N": "2"])
        #expect(names == ["data:;base64,AABo=1", "data:;base64,AABO#2=2"])
        #expect(numbered(["a\u{0}": "1", "a\u{0}": "2"]) == ["data:;base64,YQA==1", "data:;base64,YQA=#2=2"])
    }
}
