// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import SagaScenarios
import Testing

/// On the threads of the machine; in virtual time the other suites play more of it.
@Suite(.serialized, .timeLimit(.minutes(10)))
struct SagaScenarioTests {
    @Test("Engines in memory keep what they promise", arguments: SagaScenario.allCases)
    func inMemory(_ scenario: SagaScenario) async throws {
        try await scenario.play { runtime in
            let database = InMemoryDatabase(runtime: runtime)
            return (database, database)
        }
    }
}
