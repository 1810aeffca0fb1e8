// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailDeadLetters
import DovetailTesting
import Testing

@Suite(.timeLimit(.minutes(10)))
struct RemediationAdvisorTests {
    private func group(_ reason: DeadLetterReason) -> DeadLetterGroup {
        DeadLetterGroup(of: letter("1", reason: reason, time: .epoch))
    }

    @Test(arguments: [
        DeadLetterReason.schemaMismatch, .timeoutOrNetwork, .businessRule, .poison, .expired, .unroutable, .tooLarge,
        .manual,
    ])
    func everyReasonHasAPlaybookOfItsOwn(reason: DeadLetterReason) {
        let advice = TableAdvisor().advise(on: group(reason))
        #expect(advice.playbook.count >= 2)
        #expect(advice.diagnosis.contains("payments") && advice.diagnosis.contains("Broken, thing"))
        #expect(advice.playbook != TableAdvisor().advise(on: group("of one's own")).playbook)
    }

    @Test func aTableCanBeExtended() async throws {
        var advisor = TableAdvisor()
        advisor["fraud"] = Remediation(diagnosis: "Fraud.", playbook: ["Call."], redriveCanHelp: false)
        let any: any RemediationAdvisor = advisor
        #expect(try await any.advise(on: group("fraud")).playbook == ["Call."])
        #expect(try await any.advise(on: group("other")).redriveCanHelp == false)
        #expect(try await any.advise(on: group(.timeoutOrNetwork)).redriveCanHelp)
    }
}

@Suite(.timeLimit(.minutes(10)))
struct DeadLetterSweeperTests {
    @Test func lettersAreKeptAsLongAsSaidAndTheirRecordsAsLongAgain() async throws {
        let events = EventLog()
        let world = TestWorld(instrument: events)
        let sweeper = DeadLetterSweeper(world.letters, retention: .seconds(1000), period: .seconds(10), batchSize: 3)
        try await world.run(sweeper) {
            try await world.letters.capture((0..<10).map { letter("\($0)") })
            let job = try await world.letters.redrive(RedriveRequest(DeadLetterFilter(queue: "none")))
            try await world.letters.cancelRedrive(job.id)
            try await world.advance(by: .seconds(500))
            try await world.letters.capture([letter("young")])
            try await world.advance(by: .seconds(480))
            #expect(try await world.letters.count() == 11)
            try await world.advance(by: .seconds(60))
            #expect(try await world.letters.list().map(\.id) == ["young"])
            #expect(try await world.letters.redriveJobs().isEmpty)
            let record = try #require(try await world.letters.history(of: "message 3").first)
            #expect(record.removal.exit == .swept)
            try await world.advance(by: .seconds(1100))
            #expect(try await world.letters.history(of: "message 3").isEmpty)
            #expect(try await world.letters.count() == 0)
        }
        #expect(events.count("dovetail.dead_letter.removed") >= 4)
    }
}
