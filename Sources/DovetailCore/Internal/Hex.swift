// SPDX-License-Identifier: Apache-2.0

/// Lower-case hexadecimal, eight digits at a time.
enum Hex {
    /// The eight digits of a word as bytes in memory order, most significant digit first.
    @inline(__always)
    static func digits(of word: UInt32) -> UInt64 {
        // Spreads the nibbles to one a byte, then adds "0", and 39 more ("a" - "9" - 1) where a nibble is above 9.
        var spread = UInt64(word)
        spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff
        // Halves are now two 16-bit groups; the next two steps part them into bytes and nibbles.
        spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff
        spread = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f
        let aboveNine = ((spread &+ 0x0606_0606_0606_0606) >> 4) & 0x0101_0101_0101_0101
        return (spread &+ 0x3030_3030_3030_3030 &+ aboveNine &* 39).bigEndian
    }

    /// Writes the sixteen digits of a value.
    @inline(__always)
    static func write(_ value: UInt64, at index: Int, in buffer: UnsafeMutableBufferPointer<UInt8>) {
        let raw = UnsafeMutableRawBufferPointer(buffer)
        raw.storeBytes(of: digits(of: UInt32(truncatingIfNeeded: value >> 32)), toByteOffset: index, as: UInt64.self)
        raw.storeBytes(of: digits(of: UInt32(truncatingIfNeeded: value)), toByteOffset: index + 8, as: UInt64.self)
    }

    /// The value of a digit of either case, or `nil` if the byte is none.
    @inline(__always)
    static func value(of digit: UInt8) -> UInt8? {
        let decimal = digit &- 48
        if decimal <= 9 { return decimal }
        let letter = (digit | 0x20) &- 97
        return letter <= 5 ? letter + 10 : nil
    }

    /// The value of a run of at most sixteen digits, or `nil` if one byte is no digit.
    ///
    /// The caller has checked that the range lies in the text.
    @inline(__always)
    static func parse(
        _ text: UnsafeBufferPointer<UInt8>,
        _ range: Range<Int>,
        acceptsUpperCase: Bool = true
    ) -> UInt64? {
        var result: UInt64 = 0
        for index in range {
            let byte = text[index]
            guard let value = value(of: byte), acceptsUpperCase || byte < 65 || byte > 70 else { return nil }
            result = result << 4 | UInt64(value)
        }
        return result
    }
}

/// Text of a UUID, shared by the versions we make.
package enum UUIDText {
    /// The 36 characters of a UUID in lower case.
    package static func format(high: UInt64, low: UInt64) -> String {
        String(unsafeUninitializedCapacity: 36) { buffer in
            let raw = UnsafeMutableRawBufferPointer(buffer)
            let first = Hex.digits(of: UInt32(truncatingIfNeeded: high >> 32))
            let second = Hex.digits(of: UInt32(truncatingIfNeeded: high))
            let third = Hex.digits(of: UInt32(truncatingIfNeeded: low >> 32))
            let fourth = Hex.digits(of: UInt32(truncatingIfNeeded: low))
            raw.storeBytes(of: first, toByteOffset: 0, as: UInt64.self)
            // Each group of eight digits is written twice, shifted by the dash that parts its halves.
            raw.storeBytes(of: second, toByteOffset: 10, as: UInt64.self)
            raw.storeBytes(of: UInt32(truncatingIfNeeded: second.firstHalfInMemory), toByteOffset: 9, as: UInt32.self)
            raw.storeBytes(of: third, toByteOffset: 20, as: UInt64.self)
            raw.storeBytes(of: UInt32(truncatingIfNeeded: third.firstHalfInMemory), toByteOffset: 19, as: UInt32.self)
            raw.storeBytes(of: fourth, toByteOffset: 28, as: UInt64.self)
            for dash in [8, 13, 18, 23] { buffer[dash] = UInt8(ascii: "-") }
            return 36
        }
    }

    /// The two halves of a UUID in its text form of either case, or `nil` if the bytes have another form.
    package static func parse(_ text: UnsafeBufferPointer<UInt8>) -> (high: UInt64, low: UInt64)? {
        guard text.count == 36, text[8] == UInt8(ascii: "-"), text[13] == UInt8(ascii: "-"),
            text[18] == UInt8(ascii: "-"), text[23] == UInt8(ascii: "-"),
            let first = Hex.parse(text, 0..<8), let second = Hex.parse(text, 9..<13),
            let third = Hex.parse(text, 14..<18), let fourth = Hex.parse(text, 19..<23),
            let fifth = Hex.parse(text, 24..<36)
        else { return nil }
        return (first << 32 | second << 16 | third, fourth << 48 | fifth)
    }
}

extension UInt64 {
    /// The four bytes that come first in memory.
    @inline(__always)
    fileprivate var firstHalfInMemory: UInt64 {
        #if _endian(little)
            self
        #else
            self >> 32
        #endif
    }
}
