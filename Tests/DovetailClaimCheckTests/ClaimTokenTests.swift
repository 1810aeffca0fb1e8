// SPDX-License-Identifier: Apache-2.0

import DovetailClaimCheck
import DovetailCore
import Testing

@Suite struct ClaimTokenTests {
    private let digest = SHA256.hash([1, 2, 3])
    private let uuid = "0198f5a4-7b7e-7cc0-8000-0123456789ab"

    private func token(
        store: BlobStoreName = "files", length: Int = 3, contentType: String? = "text/csv"
    ) throws -> ClaimToken {
        ClaimToken(
            store: store, key: try #require(BlobKey(uuid)), length: length, digest: digest, contentType: contentType)
    }

    @Test func itsTextIsTheURIThatTheDocumentationShows() throws {
        let text = "claimcheck:files/\(uuid)?length=3&sha256=\(digest.hex)&type=text%2Fcsv"
        #expect(try token().description == text)
        #expect(try ClaimToken(text) == token())
    }

    @Test(arguments: ["files", "a/b?c=d&e", "f\u{FC}r alle", "%2F", "../..", "a b", "~"])
    func whateverAStoreIsNamedTheTokenComesBack(name: String) throws {
        for contentType in [nil, "text/plain; charset=\"utf-8\"", "a&b=c?d/e", "\r\n", ""] {
            let token = try token(store: BlobStoreName(name), contentType: contentType)
            #expect(ClaimToken(token.description) == token)
            // Nothing in it needs to be quoted in a header.
            #expect(token.description.utf8.allSatisfy { (33...126).contains($0) && $0 != UInt8(ascii: "\"") })
        }
    }

    @Test func aParameterOfALaterVersionIsIgnored() throws {
        let text = try token().description + "&compressed=zstd"
        #expect(try ClaimToken(text) == token())
    }

    @Test(arguments: [
        "", "claimcheck:", "claimcheck:files", "claimcheck:files/KEY", "claimcheck:files/KEY?", "claimcheck:/KEY?Q",
        "claimcheck:files/../KEY?Q", "claimcheck:files/..?Q", "claimcheck:files/.?Q", "claimcheck:files//KEY?Q",
        "claimcheck:files/%2E%2E?Q", "claimcheck:files/KEY/?Q", "claimcheck:files/KEY\u{0}?Q", "claimcheck:files/-rf?Q",
        "claimcheck:files/?Q", "claimcheck:%G0/KEY?Q", "claimcheck:%2/KEY?Q", "claimcheck:%FF/KEY?Q",
        "CLAIMCHECK:files/KEY?Q", "claimcheck:files/KEY?length=3", "claimcheck:files/KEY?sha256=DIGEST",
        "claimcheck:files/KEY?length=-1&sha256=DIGEST", "claimcheck:files/KEY?length=+3&sha256=DIGEST",
        "claimcheck:files/KEY?length=03&sha256=DIGEST", "claimcheck:files/KEY?length=3.0&sha256=DIGEST",
        "claimcheck:files/KEY?length=99999999999999999999&sha256=DIGEST", "claimcheck:files/KEY?Q&length=3",
        "claimcheck:files/KEY?length=3&sha256=00", "claimcheck:files/KEY?Q&type=%", "claimcheck:files/KEY?Q&",
        "claimcheck:files/KEY?Q&type", "https://example.com/KEY?Q",
    ])
    func aTextOfAnotherFormIsNoToken(pattern: String) {
        let text = pattern.replacing("KEY", with: uuid).replacing("Q", with: "length=3&sha256=\(digest.hex)")
            .replacing("DIGEST", with: digest.hex)
        #expect(ClaimToken(text) == nil)
    }

    @Test func aTextThatIsTooLongIsNoToken() throws {
        let text = try token().description
        #expect(ClaimToken(text + "&x=" + String(repeating: "y", count: 2048 - text.utf8.count - 3)) != nil)
        #expect(ClaimToken(text + "&x=" + String(repeating: "y", count: 2048 - text.utf8.count - 2)) == nil)
    }

    @Test func theLongestNamesStillMakeATokenThatCanBeRead() throws {
        let token = try token(
            store: BlobStoreName(String(repeating: "/", count: 200)), length: .max,
            contentType: String(repeating: "/", count: 255))
        #expect(ClaimToken(token.description) == token)
        #expect(try self.token(contentType: String(repeating: "/", count: 256)).contentType == nil)
    }

    @Test func asAPropertyOfAMessageItIsItsText() async throws {
        struct Scanned: Event {
            static let type: MessageType = "shop.scanned"
            let scan: ClaimToken
        }
        let codec = JSONPayloadCodec()
        let token = try token()
        let payload = try await codec.encode(Scanned(scan: token))
        #expect(String(decoding: payload.bytes, as: UTF8.self) == #"{"scan":"\#(token.description)"}"#)
        let attributes = EnvelopeAttributes(id: "1", source: "/test", type: Scanned.type)
        #expect(try await codec.decode(Scanned.self, from: Envelope(attributes, payload: payload.bytes)).scan == token)
        let wrong = Envelope(attributes, payload: Bytes(#"{"scan":"claimcheck:files/../x"}"#.utf8))
        await #expect(throws: MessageError.self) { _ = try await codec.decode(Scanned.self, from: wrong) }
    }

    @Test(arguments: [
        "a", "0", "a.b", "a-_.", "0198f5a4-7b7e-7cc0-8000-0123456789ab", String(repeating: "z", count: 200),
    ])
    func aKeyKeepsItsText(text: String) {
        #expect(BlobKey(text)?.rawValue == text)
    }

    @Test(arguments: [
        "", ".", "..", "../a", "a/b", "/a", "-a", "_a", "a b", "A", "\u{E9}", "a\u{0}", "a\n", "~a", "a%2f", "a\\b",
        String(repeating: "z", count: 201),
    ])
    func aTextThatCouldMeanMoreThanANameIsNoKey(text: String) {
        #expect(BlobKey(text) == nil)
    }
}
