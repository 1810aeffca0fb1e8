// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailPostgreSQL
    import SagaScenarios
    import Testing

    @Suite(
        .serialized, .timeLimit(.minutes(20)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresSagaTests {
        @Test("Engines on a server keep what they promise", arguments: SagaScenario.allCases)
        func scenario(_ scenario: SagaScenario) async throws {
            try await withTables { prefix in
                let opened = Shared<[PostgresDatabase]>([])
                let result: Result<Void, any Error>
                do {
                    try await scenario.play { runtime in
                        let settings = SQLSettings(prefix: prefix, runtime: runtime)
                        let databases = (0..<2).map { _ in PostgresDatabase(Way.direct.address, settings: settings) }
                        opened.change { $0 = databases }
                        for database in databases { try await database.open() }
                        return (databases[0], databases[1])
                    }
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                for database in opened.value { await database.close() }
                try result.get()
            }
        }
    }
#endif
