// SPDX-License-Identifier: Apache-2.0

package import DovetailCore

/// An envelope as it stands in the log of a database.
///
/// One byte says which form it is; four, the lowest first, how long the attributes are; these follow as JSON, and then the payload.
package enum LoggedEnvelope {
    private static let form: UInt8 = 1
    private static let headLength = 5

    package static func encode(_ envelope: Envelope<Bytes>) -> Bytes {
        let attributes = Array(StoredAttributes.encode(envelope.attributes).utf8)
        var bytes: Bytes = []
        bytes.reserveCapacity(headLength + attributes.count + envelope.payload.count)
        bytes.append(form)
        let length = UInt32(clamping: attributes.count)
        for shift in stride(from: 0, to: 32, by: 8) { bytes.append(UInt8(truncatingIfNeeded: length >> UInt32(shift))) }
        bytes += attributes
        bytes += envelope.payload
        return bytes
    }

    /// - Throws: `DatabaseError` with `undecodableRow` if these are no such bytes.
    package static func decode(_ bytes: Bytes) throws -> Envelope<Bytes> {
        let length = bytes.dropFirst().prefix(4).reversed().reduce(0) { $0 << 8 | Int($1) }
        guard bytes.count >= headLength, bytes[0] == form, length <= bytes.count - headLength else {
            throw DatabaseError(
                .undecodableRow,
                "A message in the log is not one of this library, or of a later release. Find out what wrote it."
            )
        }
        let text = String(decoding: bytes[headLength..<(headLength + length)], as: UTF8.self)
        let attributes = try StoredAttributes.decode(text, of: "message in the log")
        return Envelope(attributes, payload: Bytes(bytes[(headLength + length)...]))
    }
}
