// SPDX-License-Identifier: Apache-2.0

/// Random numbers decided by a seed, for state that is behind a lock of its own already.
struct SplitMix64: RandomNumberGenerator, Sendable {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }

    /// An index below a count that is not 0.
    mutating func next(below count: Int) -> Int {
        Int(next().multipliedFullWidth(by: UInt64(count)).high)
    }

    /// A seed for one use of many, so that drawing for one does not change what another draws.
    static func seed(_ seed: UInt64, for purpose: UInt64) -> UInt64 {
        var generator = SplitMix64(seed: seed ^ (purpose &* 0xD6E8_FEB8_6659_FD93))
        return generator.next()
    }
}
