// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DovetailCore

@Suite struct UUIDv7Tests {
    /// A generator of random numbers that gives the same ones on every run (SplitMix64).
    struct SeededRandom: RandomNumberGenerator {
        var state: UInt64

        mutating func next() -> UInt64 {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ (mixed >> 30)) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ (mixed >> 27)) &* 0x94d0_49bb_1331_11eb
            return mixed ^ (mixed >> 31)
        }
    }

    /// A source whose every bit is one value.
    struct ConstantRandom: RandomNumberGenerator {
        let value: UInt64

        mutating func next() -> UInt64 { value }
    }

    @Test("The example of RFC 9562 has its published text")
    func publishedExample() {
        let id = UUIDv7(millisecondsSinceEpoch: 0x017F_22E2_79B0, randomA: 0xCC3, randomB: 0x18C4_DC0C_0C07_398F)
        #expect(id.text == "017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
        #expect(id.timestamp.rfc3339 == "2022-02-22T19:22:22Z")
        #expect(UUIDv7("017F22E2-79B0-7CC3-98C4-DC0C0C07398F") == id)
        #expect(id.description == id.text)
        let hexOfBytes = id.bytes.map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
        #expect(hexOfBytes == id.text.filter { $0 != "-" })
    }

    @Test("Version and variant hold whatever bits come in, and texts round-trip")
    func versionAndVariant() {
        var random = SeededRandom(state: 1)
        for _ in 0..<10_000 {
            let id = UUIDv7(
                millisecondsSinceEpoch: Int64(truncatingIfNeeded: random.next()),
                randomA: UInt16(truncatingIfNeeded: random.next()),
                randomB: random.next()
            )
            let text = Array(id.text.utf8)
            #expect(text.count == 36)
            #expect(text[14] == UInt8(ascii: "7"))
            #expect("89ab".utf8.contains(text[19]))
            #expect(UUIDv7(id.text) == id)
        }
    }

    @Test(
        "The time is clamped to its 48 bits",
        arguments: [(-1, 0), (.min, 0), (.max, (1 << 48) - 1), (5, 5)] as [(Int64, Int64)])
    func timeIsClamped(given: Int64, kept: Int64) {
        #expect(UUIDv7(millisecondsSinceEpoch: given, randomA: 0, randomB: 0).millisecondsSinceEpoch == kept)
    }

    @Test("Ten thousand ids in one millisecond rise, as values and as text")
    func risesWithinAMillisecond() {
        var random = SeededRandom(state: 2)
        var generator = UUIDv7Generator()
        var previous = generator.next(milliseconds: 1_000_000, random: &random)
        for _ in 0..<10_000 {
            let id = generator.next(milliseconds: 1_000_000, random: &random)
            #expect(previous < id)
            #expect(previous.text < id.text)
            previous = id
        }
        #expect(previous.millisecondsSinceEpoch == 1_000_000)
    }

    @Test("A million ids under a jumping clock are a million different ids in rising order")
    func millionAreUnique() {
        var random = SeededRandom(state: 3)
        var generator = UUIDv7Generator()
        var now: Int64 = 1_772_357_400_000
        var seen = Set<UUIDv7>(minimumCapacity: 1_000_000)
        var previous: UUIDv7?
        var outOfOrder = 0
        for _ in 0..<1_000_000 {
            now += Int64(random.next() % 5) - 2
            let id = generator.next(milliseconds: now, random: &random)
            if let previous, id <= previous { outOfOrder += 1 }
            seen.insert(id)
            previous = id
        }
        #expect(outOfOrder == 0)
        #expect(seen.count == 1_000_000)
    }

    @Test("A clock that steps back keeps the last millisecond until it has caught up")
    func clockStepsBack() {
        var random = SeededRandom(state: 4)
        var generator = UUIDv7Generator()
        let before = generator.next(milliseconds: 5000, random: &random)
        let after = generator.next(milliseconds: 1000, random: &random)
        #expect(before < after)
        #expect(after.millisecondsSinceEpoch == 5000)
        #expect(generator.next(milliseconds: .min, random: &random).millisecondsSinceEpoch == 5000)
        #expect(generator.next(milliseconds: 5001, random: &random).millisecondsSinceEpoch == 5001)
    }

    @Test("The low counter carries into the high one")
    func counterCarries() {
        var random = ConstantRandom(value: 0)
        var generator = UUIDv7Generator(millisecond: 7, randomA: 0x0ffe, randomB: (1 << 62) - 1)
        let id = generator.next(milliseconds: 7, random: &random)
        #expect(id == UUIDv7(millisecondsSinceEpoch: 7, randomA: 0x0fff, randomB: 0))
    }

    @Test("A counter that runs over moves on to the next millisecond")
    func counterOverflows() {
        var random = ConstantRandom(value: 0)
        var generator = UUIDv7Generator(millisecond: 7, randomA: 0x0fff, randomB: (1 << 62) - 2)
        let last = generator.next(milliseconds: 7, random: &random)
        #expect(last == UUIDv7(millisecondsSinceEpoch: 7, randomA: 0x0fff, randomB: (1 << 62) - 1))
        let next = generator.next(milliseconds: 7, random: &random)
        #expect(next.millisecondsSinceEpoch == 8)
        #expect(last < next)
        #expect(next < generator.next(milliseconds: 8, random: &random))
    }

    @Test("A source that gives only ones still gives rising ids")
    func worstRandomSource() {
        var random = ConstantRandom(value: .max)
        var generator = UUIDv7Generator()
        var previous = generator.next(milliseconds: 1, random: &random)
        for _ in 0..<1000 {
            let id = generator.next(milliseconds: 1, random: &random)
            #expect(previous < id)
            previous = id
        }
    }

    @Test(
        "Text that is no UUID of version 7 is refused",
        arguments: [
            "", "017f22e2-79b0-7cc3-98c4-dc0c0c07398", "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0",
            "017f22e279b07cc398c4dc0c0c07398f0000", "{17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
            "017f22e2-79b0-4cc3-98c4-dc0c0c07398f", "017f22e2-79b0-7cc3-18c4-dc0c0c07398f",
            "017f22e2-79b0-7cc3-d8c4-dc0c0c07398f", "017f22e2_79b0_7cc3_98c4_dc0c0c07398f",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", "017f22e27-9b0-7cc3-98c4-dc0c0c07398f",
        ]
    )
    func refusesOtherText(text: String) {
        #expect(UUIDv7(text) == nil)
    }
}
