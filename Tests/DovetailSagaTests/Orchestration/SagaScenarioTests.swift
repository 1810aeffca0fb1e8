// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import SagaScenarios
import Testing

/// On the threads of the machine; in virtual time the other suites play more of it.
@Suite(.timeLimit(.minutes(10)))
struct SagaScenarioTests {
    @Test(
        "Engines in memory keep what they promise",
        arguments: SagaScenario.allCases.filter { $0 != .deathAtEachCommit })
    func inMemory(_ scenario: SagaScenario) async throws {
        try await scenario.play { Self.open($0) }
    }

    /// Each with a database of its own, so that those that wait do it side by side.
    @Test(
        "Whatever commit an engine in memory ends at, another goes on to a legal end",
        arguments: StepOutcomes.some, Trouble.Moment.allCases)
    func deathAtEachCommit(_ outcome: StepOutcomes, _ moment: Trouble.Moment) async throws {
        try await SagaScenario.deathAtEachCommit.play(outcomes: [outcome], moments: [moment]) { Self.open($0) }
    }

    private static func open(_ runtime: Runtime) -> (InMemoryDatabase, InMemoryDatabase) {
        let database = InMemoryDatabase(runtime: runtime)
        return (database, database)
    }
}
