// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import DovetailConsumer

@Suite
struct ReturnedLanesTests {
    typealias Lanes = ReturnedLanes<String, Int>

    @Test func whatWasHandedOutBeforeTheTransportKnewIsGivenBackToo() {
        var lanes = Lanes()
        lanes.willReturn(1, of: "a")
        let answer1 = lanes.admits(2, of: "a", pull: 5)
        #expect(!answer1)
        let answer2 = lanes.admits(2, of: "b", pull: 5)
        #expect(answer2)
        lanes.didReturn(1, of: "a", lastPull: 6)
        let answer3 = lanes.admits(2, of: "a", pull: 6)
        #expect(!answer3)
        let answer4 = lanes.admits(2, of: "a", pull: 7)
        #expect(answer4)
        #expect(lanes.isEmpty)
    }

    @Test func onceTheMessageItselfIsBackTheOthersFollow() {
        var lanes = Lanes()
        lanes.willReturn(1, of: "a")
        lanes.didReturn(1, of: "a", lastPull: 6)
        let answer5 = lanes.admits(1, of: "a", pull: 6)
        #expect(answer5)
        let answer6 = lanes.admits(2, of: "a", pull: 6)
        #expect(answer6)
    }

    @Test func anOlderSettlementDoesNotSpeakForALaterReturn() {
        var lanes = Lanes()
        lanes.willReturn(1, of: "a")
        lanes.willReturn(2, of: "a")
        lanes.didReturn(1, of: "a", lastPull: 3)
        let answer7 = lanes.admits(3, of: "a", pull: 9)
        #expect(!answer7)
    }

    @Test func lanesThatNobodyAsksAboutAreForgotten() {
        var lanes = Lanes()
        lanes.willReturn(1, of: "a")
        lanes.willReturn(2, of: "b")
        lanes.didReturn(1, of: "a", lastPull: 6)
        lanes.willPull(6)
        let stillSuspect = lanes.admits(9, of: "a", pull: 6)
        #expect(!stillSuspect)
        lanes.willPull(7)
        lanes.didReturn(2, of: "b", lastPull: 7)
        lanes.willPull(8)
        #expect(lanes.isEmpty)
    }
}
