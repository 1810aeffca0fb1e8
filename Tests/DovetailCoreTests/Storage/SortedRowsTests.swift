// SPDX-License-Identifier: Apache-2.0

import DovetailTesting
import Testing

@testable import DovetailCore

@Suite struct SortedRowsTests {
    private func elements(_ rows: SortedRows<Int>) -> [(key: String, value: Int)] {
        var position = rows.position(from: "")
        var found: [(key: String, value: Int)] = []
        while let element = rows.next(&position) { found.append(element) }
        return found
    }

    /// Against a dictionary and a sort, with copies that must not change any more.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func rowsAreFoundAndWalkedInTheOrderOfTheirBytes(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        var rows = SortedRows<Int>()
        var model: [[UInt8]: Int] = [:]
        var snapshot = (rows, model)
        for step in 0..<6000 {
            let key = String(random.next() % 900)
            // It grows for a while and shrinks for a while.
            if random.next() % 10 < (step / 1500 % 2 == 0 ? 8 : 2) {
                rows[key] = step
                model[Array(key.utf8)] = step
            } else {
                rows[key] = nil
                model[Array(key.utf8)] = nil
            }
            #expect(rows.count == model.count)
            if step % 250 == 0 {
                for (rows, model) in [(rows, model), snapshot] {
                    let sorted = model.sorted { $0.key.lexicographicallyPrecedes($1.key) }
                    #expect(elements(rows).map { Array($0.key.utf8) } == sorted.map(\.key))
                    #expect(elements(rows).map(\.value) == sorted.map(\.value))
                }
                snapshot = (rows, model)
                let start = String(random.next() % 900)
                var (from, behind) = (rows.position(from: start), rows.position(behind: start))
                let keys = elements(rows).map(\.key)
                #expect(rows.next(&from)?.key == keys.first { start.comparesBytes(to: $0) <= 0 })
                #expect(rows.next(&behind)?.key == keys.first { start.comparesBytes(to: $0) < 0 })
            }
        }
    }

    @Test func keysThatDifferOnlyAsBytesAreDifferent() {
        var rows = SortedRows<Int>()
        rows["\u{E9}"] = 1
        rows["e\u{301}"] = 2
        #expect(rows.count == 2)
        #expect(rows["\u{E9}"] == 1)
        #expect(rows["e\u{301}"] == 2)
        #expect(elements(rows).map(\.value) == [2, 1])
    }

    @Test func bytesAreComparedAsUnsignedAndAPrefixComesFirst() {
        #expect("a".comparesBytes(to: "a") == 0)
        #expect("a".comparesBytes(to: "ab") < 0)
        #expect("b".comparesBytes(to: "ab") > 0)
        #expect("".comparesBytes(to: "a") < 0)
        #expect("z".comparesBytes(to: "\u{E9}") < 0)
        // UTF-16 would have it the other way round.
        #expect("\u{FFFD}".comparesBytes(to: "\u{10000}") < 0)
    }
}
