// SPDX-License-Identifier: Apache-2.0

extension String {
    /// Calls a body with the bytes of the text in UTF-8; they are there for as long as it runs.
    ///
    /// As `withUTF8`, of a text that is not the caller's to change.
    package func withBytes<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        if let result = utf8.withContiguousStorageIfAvailable(body) { return result }
        return Array(utf8).withUnsafeBufferPointer(body)
    }

    /// Tells whether a byte is among those of the text in UTF-8, looking at eight at a time.
    ///
    /// - Parameter byte: The byte.
    /// - Returns: Whether it is there.
    package func has(byte: UInt8) -> Bool {
        withBytes { text in
            let ones: UInt64 = 0x0101_0101_0101_0101
            let raw = UnsafeRawBufferPointer(text)
            var index = 0
            while index + 8 <= text.count {
                let word = raw.loadUnaligned(fromByteOffset: index, as: UInt64.self) ^ (ones &* UInt64(byte))
                // Finds a byte that is zero now, and others only if there is one: no other byte borrows.
                if (word &- ones) & ~word & 0x8080_8080_8080_8080 != 0 { return true }
                index += 8
            }
            while index < text.count {
                if text[index] == byte { return true }
                index += 1
            }
            return false
        }
    }

    /// Compares the bytes of two texts in UTF-8.
    ///
    /// - Returns: Less than zero if this one comes first, zero if they are the same, otherwise more than zero.
    package func comparesBytes(to other: String) -> Int {
        withBytes { left in other.withBytes { right in Self.compare(left, right) } }
    }

    /// A plain loop: rows in memory are found by it, in builds for debugging as well.
    private static func compare(_ left: UnsafeBufferPointer<UInt8>, _ right: UnsafeBufferPointer<UInt8>) -> Int {
        let shared = Swift.min(left.count, right.count)
        var index = 0
        while index < shared {
            if left[index] != right[index] { return Int(left[index]) - Int(right[index]) }
            index += 1
        }
        return left.count - right.count
    }
}
