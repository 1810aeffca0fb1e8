// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation
import Testing

@Suite struct Base64Tests {
    @Test(
        "The examples of RFC 4648 hold",
        arguments: [
            ("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ])
    func examples(plain: String, encoded: String) {
        var text: [UInt8] = []
        Base64.append(Array(plain.utf8), to: &text)
        #expect(String(decoding: text, as: UTF8.self) == encoded)
        #expect(Base64.decode(encoded) == Array(plain.utf8))
    }

    @Test("All bytes of all lengths come back, and Foundation writes the same")
    func allBytes() {
        var random = SeededRandom(seed: 64).generator
        for count in 0..<200 {
            let bytes = (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
            var text: [UInt8] = []
            Base64.append(bytes, to: &text)
            let encoded = String(decoding: text, as: UTF8.self)
            #expect(encoded == Data(bytes).base64EncodedString())
            #expect(Base64.decode(encoded) == bytes)
        }
    }

    @Test(
        "Anything else is refused",
        arguments: [
            "Z", "Zg", "Zg=", "Zg===", "=", "====", "Z===", "Zg==Zg==", "Zm 9v", "Zm9v\n", "Zm9-", "Zm9_", "Zm9é",
            "=Zm9",
        ])
    func refused(text: String) {
        #expect(Base64.decode(text) == nil)
    }
}
