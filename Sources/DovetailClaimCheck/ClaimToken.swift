// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// What travels in place of a blob: where it is, how long it is and what its bytes are.
///
/// As text it is a URI such as `claimcheck:files/0198f5a4-7b7e-7cc0-8000-0123456789ab?length=1048576&sha256=9f86…&type=text%2Fcsv`,
/// and that is how it is encoded as a property of a message:
///
/// ```swift
/// struct InvoiceScanned: Event {
///     static let type: MessageType = "shop.invoice.scanned"
///     let orderID: String
///     let scan: ClaimToken
/// }
/// ```
public struct ClaimToken: Sendable, Hashable {
    /// The scheme of the URI.
    static let scheme = "claimcheck:"

    /// The most bytes of a token's text.
    static let mostBytes = 2048

    /// The store that has the blob.
    public let store: BlobStoreName

    /// The blob within the store.
    public let key: BlobKey

    /// The number of bytes; never negative.
    public let length: Int

    /// The digest of the bytes.
    public let digest: SHA256.Digest

    /// The media type of the bytes; `nil` if it is not known.
    public let contentType: String?

    /// Creates a token.
    ///
    /// - Parameters:
    ///   - store: The store that has the blob.
    ///   - key: The blob within the store.
    ///   - length: The number of bytes; a negative one counts as 0.
    ///   - digest: The digest of the bytes.
    ///   - contentType: The media type of the bytes; one of more than 255 bytes, which
    ///     [RFC 6838](https://www.rfc-editor.org/rfc/rfc6838#section-4.2) does not allow, is left out.
    public init(store: BlobStoreName, key: BlobKey, length: Int, digest: SHA256.Digest, contentType: String? = nil) {
        self.store = store
        self.key = key
        self.length = max(0, length)
        self.digest = digest
        self.contentType = contentType.flatMap { $0.utf8.count <= 255 ? $0 : nil }
    }
}

extension ClaimToken: LosslessStringConvertible {
    /// Creates a token from its text, or `nil` if the text has another form.
    ///
    /// Parameters that are not known are ignored, so that later versions may add some.
    ///
    /// - Parameter text: The text.
    public init?(_ text: String) {
        guard text.utf8.count <= Self.mostBytes, text.hasPrefix(Self.scheme) else { return nil }
        let parts = text.dropFirst(Self.scheme.count).split(
            separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let path = parts[0].split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, path.count == 2, let store = PercentEncoding.decode(path[0]), !store.isEmpty,
            let key = BlobKey(String(path[1]))
        else { return nil }
        var fields: [Substring: Substring] = [:]
        for field in parts[1].split(separator: "&", omittingEmptySubsequences: false) {
            let pair = field.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard pair.count == 2, fields.updateValue(pair[1], forKey: pair[0]) == nil else { return nil }
        }
        guard let lengthText = fields["length"], let length = Int(lengthText), length >= 0, "\(length)" == lengthText,
            let digest = fields["sha256"].flatMap({ SHA256.Digest(hex: String($0)) })
        else { return nil }
        var contentType: String?
        if let field = fields["type"] {
            guard let type = PercentEncoding.decode(field) else { return nil }
            contentType = type
        }
        self.init(store: BlobStoreName(store), key: key, length: length, digest: digest, contentType: contentType)
    }

    /// The token as a URI.
    public var description: String {
        let type = contentType.map { "&type=\(PercentEncoding.encode($0))" } ?? ""
        return
            "\(Self.scheme)\(PercentEncoding.encode(store.rawValue))/\(key)?length=\(length)&sha256=\(digest.hex)\(type)"
    }
}

extension ClaimToken: Codable {
    /// Reads a token from its text.
    ///
    /// - Parameter decoder: The decoder.
    /// - Throws: `DecodingError` if the text is no token.
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let token = ClaimToken(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "The text is no claim token.")
        }
        self = token
    }

    /// Writes the token as its text.
    ///
    /// - Parameter encoder: The encoder.
    /// - Throws: What the encoder throws.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
