// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Decides what happens to an order from the seed and the order alone, whatever the order in which messages arrive.
struct Chance: Sendable {
    let seed: UInt64

    /// Decides one question about one order.
    func decides(_ question: String, of orderID: String, with probability: Double) -> Bool {
        guard probability > 0 else { return false }
        // FNV-1a, whose low bits are then mixed by the generator.
        var hash: UInt64 = 0xCBF2_9CE4_8422_2325 ^ seed
        for byte in Array(question.utf8) + [0] + Array(orderID.utf8) {
            hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
        }
        return SeededRandom(seed: hash).chance(probability)
    }
}
