// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A key in the form of a UUID in lower case, in sixteen bytes.
struct UUIDKey: Hashable, Sendable {
    let high: UInt64
    let low: UInt64

    /// - Returns: `nil` if the text is anything else. Upper case is something else: it could not be told apart afterwards.
    init?(_ text: String) {
        guard text.utf8.count == 36 else { return nil }
        var text = text
        let halves = text.withUTF8 { bytes in
            bytes.contains { (UInt8(ascii: "A")...UInt8(ascii: "F")).contains($0) } ? nil : UUIDText.parse(bytes)
        }
        guard let halves else { return nil }
        (high, low) = halves
    }
}
