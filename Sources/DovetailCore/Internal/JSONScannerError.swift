// SPDX-License-Identifier: Apache-2.0

/// Says where a text stops being JSON, or being what the caller expected.
package struct JSONScannerError: Error, Sendable, Hashable, CustomStringConvertible {
    /// What is wrong.
    package enum Reason: String, Sendable, Hashable {
        case unexpectedEnd = "the text ends too early"
        case unexpectedByte = "this byte cannot stand here"
        case unexpectedKind = "a value of another kind was expected"
        case controlCharacter = "a control character must be escaped in a string"
        case invalidEscape = "this escape does not exist"
        case loneSurrogate = "half of a surrogate pair stands alone"
        case invalidUTF8 = "these bytes are not UTF-8"
        case invalidNumber = "this is not a number"
        case notAnInteger = "an integer of at most 64 bits was expected"
        case tooDeep = "arrays and objects are nested too deeply"
        case trailingBytes = "something follows the value"
    }

    /// What is wrong.
    package let reason: Reason

    /// Where, in bytes from the start of the array that is scanned.
    package let offset: Int

    package init(_ reason: Reason, at offset: Int) {
        self.reason = reason
        self.offset = offset
    }

    /// A sentence for a message.
    package var description: String { "Invalid JSON at byte \(offset): \(reason.rawValue)." }
}
