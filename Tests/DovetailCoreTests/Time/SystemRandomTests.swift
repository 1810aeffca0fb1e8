// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

struct SystemRandomTests {
    @Test("No number of the machine comes twice, to whoever draws at the same time")
    func numbersDiffer() async {
        let count = 10_000
        let numbers = await withTaskGroup(of: [UInt64].self) { group in
            for _ in 0..<4 {
                group.addTask {
                    let random = SystemRandom()
                    return (0..<count).map { _ in random.next() }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
        #expect(Set(numbers).count == 4 * count)
        #expect(!numbers.contains(0))
        // Each bit is set about half the time: within six standard deviations.
        for bit in 0..<64 {
            let set = numbers.count { $0 >> bit & 1 == 1 }
            #expect(abs(set - 2 * count) < 600, "Bit \(bit) is set in \(set) of \(4 * count) numbers.")
        }
    }
}
