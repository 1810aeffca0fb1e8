// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Synchronization
    import TestSupport
    import Testing

    @testable import DovetailPostgreSQL

    private let patience = StoreCheckPatience(limit: .seconds(60))

    /// Runs a check on tables whose stores measure by a clock that the check moves.
    private func check(
        _ way: Way,
        _ body: @Sendable (_ make: @escaping @Sendable () async throws -> PostgresDatabase) async throws -> Void
    ) async throws {
        let runtime = Runtime(time: ElasticTime())
        try await withTables { prefix in
            let opened = Shared<[PostgresDatabase]>([])
            let result: Result<Void, any Error>
            do {
                try await Runtime.$current.withValue(runtime) {
                    try await body {
                        let number = opened.value.count
                        let database = PostgresDatabase(
                            way.address, configuration: way.configuration(),
                            settings: SQLSettings(prefix: "\(prefix)\(number)_", runtime: runtime))
                        opened.change { $0.append(database) }
                        try await database.open()
                        return database
                    }
                }
                result = .success(())
            } catch {
                result = .failure(error)
            }
            for database in opened.value { await database.close() }
            try result.get()
        }
    }

    @Suite(
        .serialized, .timeLimit(.minutes(20)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresConformanceTests {
        @Test("PostgreSQL: the database conforms", arguments: DatabaseCheck.allCases, Way.allCases)
        func database(_ promise: DatabaseCheck, _ way: Way) async throws {
            try await check(way) { try await promise.run(patience: patience, on: $0) }
        }

        @Test("PostgreSQL: its tables conform", arguments: TableStoreCheck.allCases, Way.allCases)
        func tables(_ promise: TableStoreCheck, _ way: Way) async throws {
            try await check(way) { try await promise.run(patience: patience, on: $0) }
        }

        @Test("PostgreSQL: its outbox conforms", arguments: OutboxStoreCheck.allCases, Way.allCases)
        func outbox(_ promise: OutboxStoreCheck, _ way: Way) async throws {
            try await check(way) { try await promise.run(patience: patience, on: $0) }
        }

        @Test("PostgreSQL: its idempotency keys conform", arguments: IdempotencyStoreCheck.allCases, Way.allCases)
        func idempotency(_ promise: IdempotencyStoreCheck, _ way: Way) async throws {
            try await check(way) { try await promise.run(patience: patience, on: $0) }
        }

        @Test("PostgreSQL: its waiting rooms conform", arguments: WaitingRoomStoreCheck.allCases, Way.allCases)
        func waitingRooms(_ promise: WaitingRoomStoreCheck, _ way: Way) async throws {
            try await check(way) { try await promise.run(patience: patience, on: $0) }
        }

        @Test("PostgreSQL: its dead letters conform", arguments: DeadLetterStoreCheck.allCases, Way.allCases)
        func deadLetters(_ promise: DeadLetterStoreCheck, _ way: Way) async throws {
            try await check(way) { try await promise.run(patience: patience, on: $0) }
        }

        @Test("PostgreSQL: its sagas conform", arguments: SagaStoreCheck.allCases, Way.allCases)
        func sagas(_ promise: SagaStoreCheck, _ way: Way) async throws {
            try await check(way) { try await promise.run(patience: patience, on: $0) }
        }

        @Test("PostgreSQL: the transport in a database conforms", arguments: TransportCheck.allCases, Way.allCases)
        func transport(_ promise: TransportCheck, _ way: Way) async throws {
            try await withDatabase(way) { database in
                let bus = SQLTransport(
                    in: database,
                    settings: SQLTransportSettings(lease: .seconds(5), pollInterval: .milliseconds(10)))
                try await promise.run(
                    on: bus, patience: TransportCheck.Patience(arrival: .seconds(40), silence: .milliseconds(200)))
            }
        }
    }

    /// What depends on time, by the clock of the server itself.
    @Suite(
        .serialized, .timeLimit(.minutes(20)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresClockTests {
        private let patience = StoreCheckPatience(span: .seconds(2), slack: .milliseconds(200), limit: .seconds(60))

        private func check(
            _ body: @Sendable (_ make: @escaping @Sendable () async throws -> PostgresDatabase) async throws -> Void
        ) async throws {
            try await withDatabase { database in try await body { database } }
        }

        @Test(
            "Delays and leases of the outbox are measured by the server",
            arguments: [.expiredIsClaimedAgain, .failedComesAgainLater, .scheduledWaitsAlone] as [OutboxStoreCheck]
        )
        func outbox(_ promise: OutboxStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test(
            "Retentions and leases of keys are measured by the server",
            arguments: [.keyIsForgottenInTime, .expiredCanBeTakenOver, .answerIsForgottenInTime]
                as [IdempotencyStoreCheck]
        )
        func keys(_ promise: IdempotencyStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test(
            "Leases and pauses of sagas are measured by the server",
            arguments: [.laterIsNotClaimed, .expiredIsClaimedAgain, .insertedWithAClaimIsHeld] as [SagaStoreCheck]
        )
        func sagas(_ promise: SagaStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }

        @Test(
            "Delays and leases of waiting rooms are measured by the server",
            arguments: [.delayIsKept, .expiredIsClaimedAgain, .rescheduledComesAgainLater] as [WaitingRoomStoreCheck]
        )
        func waitingRooms(_ promise: WaitingRoomStoreCheck) async throws {
            try await check { try await promise.run(patience: patience, on: $0) }
        }
    }
#endif
