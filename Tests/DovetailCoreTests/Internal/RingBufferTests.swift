// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite
struct RingBufferTests {
    @Test("A line keeps its order while it grows and shrinks", arguments: 0..<20)
    func agreesWithArray(seed: Int) {
        var random = SeededRandom(seed: UInt64(seed)).generator
        var line = RingBuffer<Int>()
        var model: [Int] = []
        for step in 0..<500 {
            switch Int.random(in: 0..<6, using: &random) {
            case 0...1:
                line.append(step)
                model.append(step)
            case 2...3 where step > 100: #expect(line.popFirst() == (model.isEmpty ? nil : model.removeFirst()))
            case 4: #expect(line.popLast() == model.popLast())
            default:
                let index = Int.random(in: 0..<(model.count + 2), using: &random)
                line.replace(at: index, with: -step)
                if index < model.count { model[index] = -step }
            }
            #expect(line.count == model.count)
            #expect(line.first == model.first)
            #expect(line.last == model.last)
            #expect(line[model.count / 2] == (model.isEmpty ? nil : model[model.count / 2]))
        }
        #expect(line[-1] == nil)
        #expect(line[model.count] == nil)
    }
}
