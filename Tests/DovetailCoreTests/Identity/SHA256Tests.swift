// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct SHA256Tests {
    @Test(
        "The examples of FIPS 180-4 give their published digests",
        arguments: [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
            ),
            (
                "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn"
                    + "hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
                "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"
            ),
        ]
    )
    func publishedExamples(text: String, digest: String) {
        #expect(SHA256.hash(Array(text.utf8)).hex == digest)
    }

    @Test("A million times the letter a gives its published digest, in whatever pieces it comes")
    func millionLetters() {
        let digest = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
        #expect(SHA256.hash([UInt8](repeating: 97, count: 1_000_000)).hex == digest)
        var hash = SHA256()
        var rest = 1_000_000
        var piece = 1
        while rest > 0 {
            let count = min(piece, rest)
            hash.update(repeatElement(97, count: count))
            rest -= count
            piece = piece * 7 % 1009
        }
        #expect(hash.finalize().hex == digest)
    }

    @Test(
        "Short messages of the CAVP byte-oriented vectors give their published digests",
        arguments: [
            ([0xd3], "28969cdfa74a12c82f3bad960b0b000aca2ac329deea5c2328ebc6f2ba9802c1"),
            ([0x11, 0xaf], "5ca7133fa735326081558ac312c620eeca9970d1e70a4b95533d956f072d1f98"),
            ([0xb4, 0x19, 0x0e], "dff2e73091f6c05e528896c4c831b9448653dc2ff043528f6769437bc7b975c2"),
            ([0x74, 0xba, 0x25, 0x21], "b16aa56be3880d18cd41e68384cf1ec8c17680c45a02b1575dc1518923ae8b0e"),
            ([0xc2, 0x99, 0x20, 0x96, 0x82], "f0887fe961c9cd3beab957e8222494abb969b1ce4c6557976df8b0f6d20e9166"),
            (
                [0x57, 0x38, 0xc9, 0x29, 0xc4, 0xf4, 0xcc, 0xb6],
                "963bb88f27f512777aab6c8b1a02c70ec0ad651d428f870036e1917120fb48bf"
            ),
            (
                [0x33, 0x34, 0xc5, 0x80, 0x75, 0xd3, 0xf4, 0x13, 0x9e],
                "078da3d77ed43bd3037a433fd0341855023793f9afd08b4b08ea1e5597ceef20"
            ),
        ] as [([UInt8], String)]
    )
    func shortMessages(message: [UInt8], digest: String) {
        #expect(SHA256.hash(message).hex == digest)
    }

    @Test(
        "Around the edges of a block, every cut into two pieces gives the digest of the whole",
        arguments: [
            (55, "463eb28e72f82e0a96c0a4cc53690c571281131f672aa229e0d45ae59b598b59"),
            (56, "da2ae4d6b36748f2a318f23e7ab1dfdf45acdc9d049bd80e59de82a60895f562"),
            (57, "2fe741af801cc238602ac0ec6a7b0c3a8a87c7fc7d7f02a3fe03d1c12eac4d8f"),
            (63, "29af2686fd53374a36b0846694cc342177e428d1647515f078784d69cdb9e488"),
            (64, "fdeab9acf3710362bd2658cdc9a29e8f9c757fcf9811603a8c447cd1d9151108"),
            (65, "4bfd2c8b6f1eec7a2afeb48b934ee4b2694182027e6d0fc075074f2fabb31781"),
            (119, "da18797ed7c3a777f0847f429724a2d8cd5138e6ed2895c3fa1a6d39d18f7ec6"),
            (120, "f52b23db1fbb6ded89ef42a23ce0c8922c45f25c50b568a93bf1c075420bbb7c"),
        ]
    )
    func everySplit(count: Int, digest: String) {
        let message = (0..<count).map { UInt8($0 % 251) }
        #expect(SHA256.hash(message).hex == digest)
        for cut in 0...count {
            var slices = SHA256()
            slices.update(message[..<cut])
            slices.update(message[cut...])
            #expect(slices.finalize().hex == digest)
            var spans = SHA256()
            spans.update(message.span.extracting(..<cut))
            spans.update(message.span.extracting(cut...))
            #expect(spans.finalize().hex == digest)
            var sequences = SHA256()
            sequences.update(message.lazy.prefix(cut).filter { _ in true })
            sequences.update(message.lazy.dropFirst(cut).filter { _ in true })
            #expect(sequences.finalize().hex == digest)
        }
    }

    @Test("A copy of a hash goes on by itself")
    func copiesAreIndependent() {
        var first = SHA256()
        first.update(Array("ab".utf8))
        var second = first
        first.update(Array("c".utf8))
        second.update(Array("d".utf8))
        #expect(first.finalize() == SHA256.hash(Array("abc".utf8)))
        #expect(second.finalize() == SHA256.hash(Array("abd".utf8)))
    }

    @Test("A digest comes back from its text in either case, and from no other text")
    func digestText() {
        let digest = SHA256.hash([1, 2, 3])
        #expect(SHA256.Digest(hex: digest.hex) == digest)
        #expect(SHA256.Digest(hex: digest.hex.uppercased()) == digest)
        #expect(digest.description == digest.hex)
        #expect(digest.bytes.count == 32)
        let hexOfBytes = digest.bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        #expect(hexOfBytes == digest.hex)
        #expect(SHA256.Digest(hex: String(digest.hex.dropLast())) == nil)
        #expect(SHA256.Digest(hex: digest.hex + "0") == nil)
        for bad in ["g", "/", ":", "@", "`", "G", " "] {
            #expect(SHA256.Digest(hex: bad + digest.hex.dropFirst()) == nil)
            #expect(SHA256.Digest(hex: digest.hex.dropLast() + bad) == nil)
        }
    }
}
