// SPDX-License-Identifier: Apache-2.0

/// Identifiers that follow from what they identify.
///
/// The same fields give the same identifier on every machine and in every later release, so a key derived twice is found to be the same
/// key. Different fields give different identifiers: the encoding that is hashed states the length of every field.
///
/// ```swift
/// let key = DeterministicID.make(namespace: "payment", [order.id, order.currency])
/// ```
public enum DeterministicID {
    /// Returns the identifier of a list of fields.
    ///
    /// The identifier is a UUID of version 8 ([RFC 9562, 5.8](https://www.rfc-editor.org/rfc/rfc9562#section-5.8)) cut from a SHA-256
    /// digest, as in appendix B.2 there. The order and the number of fields count, empty ones included. Texts are compared as
    /// UTF-8 bytes: two spellings of one character by different Unicode scalars differ.
    ///
    /// - Parameters:
    ///   - namespace: What kind of thing is identified; equal fields in two namespaces give two identifiers.
    ///   - fields: The fields that make the thing what it is.
    /// - Returns: The 36 characters of the UUID, in lower case.
    public static func make(namespace: String, _ fields: [String]) -> String {
        var hash = SHA256()
        add(namespace, to: &hash)
        add(UInt64(fields.count), to: &hash)
        for field in fields {
            add(field, to: &hash)
        }
        let (high, low) = hash.finalize().leadingHalves
        return UUIDText.format(
            high: high & ~0xf000 | 0x8000,
            low: low & 0x3fff_ffff_ffff_ffff | 0x8000_0000_0000_0000
        )
    }

    private static func add(_ text: String, to hash: inout SHA256) {
        var text = text
        text.withUTF8 { bytes in
            add(UInt64(bytes.count), to: &hash)
            hash.update(raw: UnsafeRawBufferPointer(bytes))
        }
    }

    private static func add(_ number: UInt64, to hash: inout SHA256) {
        withUnsafeBytes(of: number.bigEndian) { hash.update(raw: $0) }
    }
}
