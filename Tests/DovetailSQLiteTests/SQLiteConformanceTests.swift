// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    import DovetailOutbox
    import DovetailSaga
    import DovetailSQLite
    import DovetailTesting
    import TestSupport
    import Testing

    private let patience = StoreCheckPatience(limit: .seconds(60))

    /// Runs a check on files whose stores measure by a clock that the check moves.
    private func check(
        _ body: @Sendable (_ make: @escaping @Sendable () async throws -> SQLiteDatabase) async throws -> Void
    ) async throws {
        let folder = try TemporaryFolder()
        let runtime = Runtime(time: ElasticTime())
        try await Runtime.$current.withValue(runtime) {
            try await body { try await folder.opened(settings: SQLSettings(runtime: runtime)) }
        }
    }

    @Suite(.timeLimit(.minutes(10)))
    struct SQLiteConformanceTests {
        @Test("SQLite: the database conforms", arguments: DatabaseCheck.allCases)
        func database(_ promise: DatabaseCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test("SQLite: its tables conform", arguments: TableStoreCheck.allCases)
        func tables(_ promise: TableStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test("SQLite: its outbox conforms", arguments: OutboxStoreCheck.allCases)
        func outbox(_ promise: OutboxStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test("SQLite: its idempotency keys conform", arguments: IdempotencyStoreCheck.allCases)
        func idempotency(_ promise: IdempotencyStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test("SQLite: its waiting rooms conform", arguments: WaitingRoomStoreCheck.allCases)
        func waitingRooms(_ promise: WaitingRoomStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test("SQLite: its sagas conform", arguments: SagaStoreCheck.allCases)
        func sagas(_ promise: SagaStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test("SQLite: its dead letters conform", arguments: DeadLetterStoreCheck.allCases)
        func deadLetters(_ promise: DeadLetterStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }
    }

    /// What depends on time, by the clock of SQLite itself; spans are longer than a dozen commits take on a busy machine.
    @Suite(.timeLimit(.minutes(10)))
    struct SQLiteClockTests {
        private let patience = StoreCheckPatience(span: .seconds(4), slack: .milliseconds(200), limit: .seconds(60))

        @Test(
            "Delays and leases of the outbox are measured by the database",
            arguments: [.expiredIsClaimedAgain, .failedComesAgainLater, .scheduledWaitsAlone] as [OutboxStoreCheck]
        )
        func outbox(_ promise: OutboxStoreCheck) async throws {
            let folder = try TemporaryFolder()
            try await promise.run(patience: patience) { try await folder.opened() }
        }

        @Test(
            "Retentions and leases of keys are measured by the database",
            arguments: [.keyIsForgottenInTime, .expiredCanBeTakenOver, .answerIsForgottenInTime]
                as [IdempotencyStoreCheck]
        )
        func keys(_ promise: IdempotencyStoreCheck) async throws {
            let folder = try TemporaryFolder()
            try await promise.run(patience: patience) { try await folder.opened() }
        }

        @Test(
            "Delays and leases of waiting rooms are measured by the database",
            arguments: [.delayIsKept, .expiredIsClaimedAgain, .rescheduledComesAgainLater] as [WaitingRoomStoreCheck]
        )
        func waitingRooms(_ promise: WaitingRoomStoreCheck) async throws {
            let folder = try TemporaryFolder()
            try await promise.run(patience: patience) { try await folder.opened() }
        }

        @Test(
            "Leases and pauses of sagas are measured by the database",
            arguments: [.laterIsNotClaimed, .expiredIsClaimedAgain, .insertedWithAClaimIsHeld] as [SagaStoreCheck]
        )
        func sagas(_ promise: SagaStoreCheck) async throws {
            let folder = try TemporaryFolder()
            try await promise.run(patience: patience) { try await folder.opened() }
        }

        @Test("The clock of the database is that of the machine")
        func clock() async throws {
            let folder = try TemporaryFolder()
            let database = try await folder.opened()
            let before = SystemTime().now()
            try await database.withTransaction { tx in
                try await database.outboxStore.append([message("1")], serializing: false, in: tx)
            }
            let claim = try await database.outboxStore.claim(limit: 1, lease: .seconds(60))
            let after = SystemTime().now()
            let slack = Duration.milliseconds(2)
            let due = try #require(claim.rows.first?.due)
            #expect(due >= before - slack && due <= after + slack)
            #expect(claim.expiry >= before + .seconds(60) - slack && claim.expiry <= after + .seconds(60) + slack)
        }
    }
#endif
