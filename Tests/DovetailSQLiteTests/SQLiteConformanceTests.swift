// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailSQLite
    import DovetailTesting
    import Testing

    /// Real time passes here: spans are longer than a dozen commits take on a busy machine.
    private let patience = StoreCheckPatience(span: .seconds(2), slack: .milliseconds(200), limit: .seconds(40))

    @Suite(.timeLimit(.minutes(2)))
    struct SQLiteConformanceTests {
        let folder: TemporaryFolder

        init() throws {
            folder = try TemporaryFolder()
        }

        @Test("The database conforms", arguments: DatabaseCheck.allCases)
        func database(_ check: DatabaseCheck) async throws {
            try await check.run(patience: patience) { try await folder.opened() }
        }

        @Test("Its tables conform", arguments: TableStoreCheck.allCases)
        func tables(_ check: TableStoreCheck) async throws {
            try await check.run(patience: patience) { try await folder.opened() }
        }

        @Test("Its outbox conforms", arguments: OutboxStoreCheck.allCases)
        func outbox(_ check: OutboxStoreCheck) async throws {
            try await check.run(patience: patience) { try await folder.opened() }
        }

        @Test("Its idempotency keys conform", arguments: IdempotencyStoreCheck.allCases)
        func idempotency(_ check: IdempotencyStoreCheck) async throws {
            try await check.run(patience: patience) { try await folder.opened() }
        }

        @Test("Its waiting rooms conform", arguments: WaitingRoomStoreCheck.allCases)
        func waitingRooms(_ check: WaitingRoomStoreCheck) async throws {
            try await check.run(patience: patience) { try await folder.opened() }
        }

        @Test("Its dead letters conform", arguments: DeadLetterStoreCheck.allCases)
        func deadLetters(_ check: DeadLetterStoreCheck) async throws {
            try await check.run(patience: patience) { try await folder.opened() }
        }
    }
#endif
