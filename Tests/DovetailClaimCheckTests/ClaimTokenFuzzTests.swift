// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore
import DovetailTesting
import Foundation
import Testing

@Suite(.timeLimit(.minutes(10))) struct ClaimTokenFuzzTests {
    @Test("Any text gives a token or none; a token that was read is written and read the same, as text and as JSON")
    func tokens() async throws {
        let digest = SHA256.hash([1, 2, 3])
        let key = try #require(BlobKey("019b76da-a800-7000-8000-0123456789ab"))
        let corpus = [
            ClaimToken(store: "files", key: key, length: 3, digest: digest, contentType: "application/json"),
            ClaimToken(store: "a b/é", key: key, length: 0, digest: digest),
        ].map { Bytes($0.description.utf8) }
        let pieces = ["?", "&", "=", "/", "length=", "sha256=", "type=", "%2F", "%C3", "..", "-1", "claimcheck:"]
        try await Fuzzing.run("claim token", corpus, tokens: pieces) { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            let read = ClaimToken(text)
            let json = try JSONEncoder().encode([text])
            let decoded = try? JSONDecoder().decode([ClaimToken].self, from: json)
            guard decoded?.first == read else { throw Fuzzing.Broken("As JSON it is \(String(describing: decoded))") }
            guard let token = read else { return }
            guard ClaimToken(token.description) == token, token.length >= 0 else {
                throw Fuzzing.Broken("\(token) is written and read as another")
            }
            guard !token.key.description.contains(".."), !token.store.rawValue.isEmpty else {
                throw Fuzzing.Broken("\(token) leads out of its store")
            }
        }
    }
}
