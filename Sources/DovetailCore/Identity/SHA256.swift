// SPDX-License-Identifier: Apache-2.0

/// The SHA-256 hash function of [FIPS 180-4](https://doi.org/10.6028/NIST.FIPS.180-4), fed in pieces of any size.
///
/// The digest depends only on the bytes, not on how they were cut. Nothing is allocated, and a copy carries on by itself.
///
/// ```swift
/// var hash = SHA256()
/// hash.update(header)
/// hash.update(body)
/// let digest = hash.finalize()
/// ```
public struct SHA256: Sendable {
    private var state: SIMD8<UInt32>
    /// The bytes that do not fill a block yet; the first `pendingCount` of them count.
    private var pending: SIMD64<UInt8>
    private var pendingCount: Int
    private var byteCount: UInt64

    /// Creates a hash of no bytes yet.
    public init() {
        state = SIMD8(
            0x6a09_e667, 0xbb67_ae85, 0x3c6e_f372, 0xa54f_f53a, 0x510e_527f, 0x9b05_688c, 0x1f83_d9ab, 0x5be0_cd19
        )
        pending = .zero
        pendingCount = 0
        byteCount = 0
    }

    /// Returns the digest of an array.
    ///
    /// - Parameter bytes: The bytes to hash.
    /// - Returns: Their digest.
    public static func hash(_ bytes: [UInt8]) -> Digest {
        var hash = SHA256()
        bytes.withUnsafeBytes { hash.update(raw: $0) }
        return hash.finalize()
    }

    /// Adds bytes to what is hashed.
    ///
    /// - Parameter bytes: The bytes that follow those added before. Contiguous storage, such as that of an array, is hashed in place.
    public mutating func update(_ bytes: some Sequence<UInt8>) {
        let done: Void? = bytes.withContiguousStorageIfAvailable { update(raw: UnsafeRawBufferPointer($0)) }
        if done == nil {
            ContiguousArray(bytes).withUnsafeBytes { update(raw: $0) }
        }
    }

    /// Adds bytes to what is hashed.
    ///
    /// - Parameter bytes: The bytes that follow those added before.
    public mutating func update(_ bytes: Span<UInt8>) {
        bytes.withUnsafeBytes { update(raw: $0) }
    }

    /// Adds the bytes of a region of memory to what is hashed.
    ///
    /// - Parameter bytes: The bytes that follow those added before.
    public mutating func update(raw bytes: UnsafeRawBufferPointer) {
        byteCount &+= UInt64(bytes.count)
        var rest = bytes[...]
        if pendingCount > 0 {
            let taken = min(64 - pendingCount, rest.count)
            withUnsafeMutableBytes(of: &pending) { buffer in
                UnsafeMutableRawBufferPointer(rebasing: buffer[pendingCount..<pendingCount + taken])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: rest.prefix(taken)))
            }
            pendingCount += taken
            rest = rest.dropFirst(taken)
            guard pendingCount == 64 else { return }
            compressPending()
        }
        let whole = rest.count & ~63
        if whole > 0 {
            Self.compress(UnsafeRawBufferPointer(rebasing: rest.prefix(whole)), into: &state)
            rest = rest.dropFirst(whole)
        }
        if !rest.isEmpty {
            withUnsafeMutableBytes(of: &pending) { $0.copyMemory(from: UnsafeRawBufferPointer(rebasing: rest)) }
            pendingCount = rest.count
        }
    }

    /// Ends the hash.
    ///
    /// - Returns: The digest of all bytes added.
    public consuming func finalize() -> Digest {
        var hash = self
        hash.pad()
        return Digest(words: hash.state)
    }

    // MARK: - Rounds

    /// Adds the end mark, zeros, and the length in bits, and so fills the last block (FIPS 180-4, 5.1.1).
    private mutating func pad() {
        let bitCount = byteCount &<< 3
        withUnsafeMutableBytes(of: &pending) { buffer in
            buffer[pendingCount] = 0x80
            for index in (pendingCount + 1)..<64 { buffer[index] = 0 }
        }
        if pendingCount >= 56 {
            compressPending()
            pending = .zero
        }
        withUnsafeMutableBytes(of: &pending) { buffer in
            buffer.storeBytes(of: bitCount.bigEndian, toByteOffset: 56, as: UInt64.self)
        }
        compressPending()
    }

    private mutating func compressPending() {
        withUnsafeBytes(of: pending) { Self.compress($0, into: &state) }
        pendingCount = 0
    }

    /// Works whole blocks into the state (FIPS 180-4, 6.2.2).
    private static func compress(_ blocks: UnsafeRawBufferPointer, into state: inout SIMD8<UInt32>) {
        withUnsafeTemporaryAllocation(of: UInt32.self, capacity: 64) { schedule in
            roundConstants.withUnsafeBufferPointer { constants in
                for block in stride(from: 0, to: blocks.count, by: 64) {
                    for index in 0..<16 {
                        let word = blocks.loadUnaligned(fromByteOffset: block + index &* 4, as: UInt32.self)
                        schedule.initializeElement(at: index, to: word.bigEndian)
                    }
                    for index in 16..<64 {
                        let early = schedule[index &- 15]
                        let late = schedule[index &- 2]
                        let mixedEarly = rotate(early, 7) ^ rotate(early, 18) ^ early &>> 3
                        let mixedLate = rotate(late, 17) ^ rotate(late, 19) ^ late &>> 10
                        let word = schedule[index &- 16] &+ mixedEarly &+ schedule[index &- 7] &+ mixedLate
                        schedule.initializeElement(at: index, to: word)
                    }
                    var (a, b, c, d) = (state[0], state[1], state[2], state[3])
                    var (e, f, g, h) = (state[4], state[5], state[6], state[7])
                    // Eight rounds at a time give every variable its own name back, so that nothing has to be moved.
                    var index = 0
                    while index < 64 {
                        round(a, b, c, &d, e, f, g, &h, constants[index] &+ schedule[index])
                        round(h, a, b, &c, d, e, f, &g, constants[index &+ 1] &+ schedule[index &+ 1])
                        round(g, h, a, &b, c, d, e, &f, constants[index &+ 2] &+ schedule[index &+ 2])
                        round(f, g, h, &a, b, c, d, &e, constants[index &+ 3] &+ schedule[index &+ 3])
                        round(e, f, g, &h, a, b, c, &d, constants[index &+ 4] &+ schedule[index &+ 4])
                        round(d, e, f, &g, h, a, b, &c, constants[index &+ 5] &+ schedule[index &+ 5])
                        round(c, d, e, &f, g, h, a, &b, constants[index &+ 6] &+ schedule[index &+ 6])
                        round(b, c, d, &e, f, g, h, &a, constants[index &+ 7] &+ schedule[index &+ 7])
                        index &+= 8
                    }
                    state &+= SIMD8(a, b, c, d, e, f, g, h)
                }
            }
        }
    }

    /// One round; the caller renames the variables instead of moving them along.
    @inline(__always)
    private static func round(
        _ a: UInt32, _ b: UInt32, _ c: UInt32, _ d: inout UInt32,
        _ e: UInt32, _ f: UInt32, _ g: UInt32, _ h: inout UInt32,
        _ input: UInt32
    ) {
        let choice = g ^ (e & (f ^ g))
        let majority = (a & b) | (c & (a | b))
        let first = h &+ (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) &+ choice &+ input
        d = d &+ first
        h = first &+ (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) &+ majority
    }

    @inline(__always)
    private static func rotate(_ word: UInt32, _ count: UInt32) -> UInt32 {
        word &>> count | word &<< (32 &- count)
    }

    private static let roundConstants: [UInt32] = [
        0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5, 0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5,
        0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3, 0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174,
        0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc, 0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da,
        0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7, 0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967,
        0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13, 0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85,
        0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3, 0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070,
        0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5, 0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3,
        0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208, 0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2,
    ]
}

extension SHA256 {
    /// The 32 bytes that a hash ends in.
    public struct Digest: Sendable, Hashable, CustomStringConvertible {
        private let first: UInt64
        private let second: UInt64
        private let third: UInt64
        private let fourth: UInt64

        init(words: SIMD8<UInt32>) {
            first = UInt64(words[0]) << 32 | UInt64(words[1])
            second = UInt64(words[2]) << 32 | UInt64(words[3])
            third = UInt64(words[4]) << 32 | UInt64(words[5])
            fourth = UInt64(words[6]) << 32 | UInt64(words[7])
        }

        /// Creates a digest from its hexadecimal text, or `nil` if the text is anything else.
        ///
        /// - Parameter hex: Exactly 64 digits of either case.
        public init?(hex: String) {
            var hex = hex
            let parts = hex.withUTF8 { text -> (UInt64, UInt64, UInt64, UInt64)? in
                guard text.count == 64, let first = Hex.parse(text, 0..<16), let second = Hex.parse(text, 16..<32),
                    let third = Hex.parse(text, 32..<48), let fourth = Hex.parse(text, 48..<64)
                else { return nil }
                return (first, second, third, fourth)
            }
            guard let parts else { return nil }
            (first, second, third, fourth) = parts
        }

        /// The 32 bytes, in the order of the specification.
        public var bytes: [UInt8] {
            [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
                let raw = UnsafeMutableRawBufferPointer(buffer)
                raw.storeBytes(of: first.bigEndian, toByteOffset: 0, as: UInt64.self)
                raw.storeBytes(of: second.bigEndian, toByteOffset: 8, as: UInt64.self)
                raw.storeBytes(of: third.bigEndian, toByteOffset: 16, as: UInt64.self)
                raw.storeBytes(of: fourth.bigEndian, toByteOffset: 24, as: UInt64.self)
                count = 32
            }
        }

        /// The digest as 64 hexadecimal digits in lower case.
        public var hex: String {
            String(unsafeUninitializedCapacity: 64) { buffer in
                Hex.write(first, at: 0, in: buffer)
                Hex.write(second, at: 16, in: buffer)
                Hex.write(third, at: 32, in: buffer)
                Hex.write(fourth, at: 48, in: buffer)
                return 64
            }
        }

        /// The digest as 64 hexadecimal digits in lower case.
        public var description: String { hex }

        /// The first 16 bytes as two numbers.
        package var leadingHalves: (high: UInt64, low: UInt64) { (first, second) }
    }
}
