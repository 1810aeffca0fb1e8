// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@testable import DovetailConsumer

@Suite
struct FIFOTests {
    @Test func itDoesWhatAnArrayDoes() {
        let random = SeededRandom(seed: 3)
        var queue = FIFO<Int>()
        var array: [Int] = []
        for number in 0..<4_000 {
            switch random.next() % 9 {
            case 0...3:
                queue.append(number)
                array.append(number)
            case 4:
                queue.prepend(number)
                array.insert(number, at: 0)
            case 5 where random.next() % 500 == 0:
                let all = queue.removeAll()
                #expect(all == array)
                array = []
            default:
                let first = queue.popFirst()
                let expected = array.isEmpty ? nil : array.removeFirst()
                #expect(first == expected)
            }
            #expect(queue.count == array.count)
        }
    }
}
