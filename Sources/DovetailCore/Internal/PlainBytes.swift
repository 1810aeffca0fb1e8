// SPDX-License-Identifier: Apache-2.0

/// Runs of bytes that a format writes as they are, looked at eight at a time.
enum PlainBytes {
    /// The first index of a byte that is not plain: below a bound, not ASCII, or one of three.
    ///
    /// - Parameters:
    ///   - text: The bytes.
    ///   - start: Where to begin, at most the number of bytes.
    ///   - bound: The lowest plain byte, at least 1.
    ///   - marks: ASCII bytes that are not plain.
    /// - Returns: The index; the number of bytes if all from `start` on are plain.
    @inline(__always)
    static func end(
        in text: UnsafeBufferPointer<UInt8>, from start: Int, bound: UInt8, marks: (UInt8, UInt8, UInt8)
    ) -> Int {
        let raw = UnsafeRawBufferPointer(text)
        var index = start
        while index + 8 <= text.count {
            let word = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: index, as: UInt64.self))
            let found = special(in: word, bound: bound, marks: marks)
            if found != 0 { return index + found.trailingZeroBitCount / 8 }
            index += 8
        }
        if index == text.count { return index }
        if text.count >= 8 {
            // The last word, without what was looked at. The zeros that take its place are below the bound.
            let last = UInt64(littleEndian: raw.loadUnaligned(fromByteOffset: text.count - 8, as: UInt64.self))
            let word = last &>> UInt64(64 - 8 * (text.count - index))
            return index + special(in: word, bound: bound, marks: marks).trailingZeroBitCount / 8
        }
        while index < text.count {
            let byte = text[index]
            if byte < bound || byte >= 0x80 || byte == marks.0 || byte == marks.1 || byte == marks.2 { break }
            index += 1
        }
        return index
    }

    /// A word whose lowest high bit of a byte is that of the first byte that is not plain; zero if all are.
    ///
    /// Each term has the high bit of a byte set if that byte is not ASCII, or small before the difference. A borrow can only
    /// set the bits of bytes further up.
    @inline(__always)
    private static func special(in word: UInt64, bound: UInt8, marks: (UInt8, UInt8, UInt8)) -> UInt64 {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let small = word &- ones &* UInt64(bound)
        let first = (word ^ ones &* UInt64(marks.0)) &- ones
        let second = (word ^ ones &* UInt64(marks.1)) &- ones
        let third = (word ^ ones &* UInt64(marks.2)) &- ones
        return (word | small | first | second | third) & 0x8080_8080_8080_8080
    }
}
