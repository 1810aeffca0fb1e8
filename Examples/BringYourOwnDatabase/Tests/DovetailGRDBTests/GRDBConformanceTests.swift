// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailGRDB
import DovetailSQL
import DovetailTesting
import Foundation
import Testing

private typealias GRDBDatabase = SQLDatabase<GRDBConnectionPool>

/// By the machine's clock; spans are longer than a dozen commits take on a busy machine.
private let patience = StoreCheckPatience(span: .seconds(4), slack: .milliseconds(200), limit: .seconds(60))

/// Runs a check on files of its own, in a folder that goes away.
private func check(
    _ body: @Sendable (_ make: @escaping @Sendable () async throws -> GRDBDatabase) async throws -> Void
) async throws {
    let folder = try TemporaryFolder()
    try await body {
        let database = SQLDatabase(try GRDBConnectionPool(folder.newFile()))
        try await database.open()
        return database
    }
}

@Suite(.timeLimit(.minutes(10)))
struct GRDBConformanceTests {
    @Test("GRDB: the database conforms", arguments: DatabaseCheck.allCases)
    func database(_ promise: DatabaseCheck) async throws {
        try await check { try await promise.run(patience: patience, on: $0) }
    }

    @Test("GRDB: its tables conform", arguments: TableStoreCheck.allCases)
    func tables(_ promise: TableStoreCheck) async throws {
        try await check { try await promise.run(patience: patience, on: $0) }
    }

    @Test("GRDB: its outbox conforms", arguments: OutboxStoreCheck.allCases)
    func outbox(_ promise: OutboxStoreCheck) async throws {
        try await check { try await promise.run(patience: patience, on: $0) }
    }

    @Test("GRDB: its idempotency keys conform", arguments: IdempotencyStoreCheck.allCases)
    func idempotency(_ promise: IdempotencyStoreCheck) async throws {
        try await check { try await promise.run(patience: patience, on: $0) }
    }

    @Test("GRDB: its waiting rooms conform", arguments: WaitingRoomStoreCheck.allCases)
    func waitingRooms(_ promise: WaitingRoomStoreCheck) async throws {
        try await check { try await promise.run(patience: patience, on: $0) }
    }

    @Test("GRDB: its sagas conform", arguments: SagaStoreCheck.allCases)
    func sagas(_ promise: SagaStoreCheck) async throws {
        try await check { try await promise.run(patience: patience, on: $0) }
    }

    @Test("GRDB: its dead letters conform", arguments: DeadLetterStoreCheck.allCases)
    func deadLetters(_ promise: DeadLetterStoreCheck) async throws {
        try await check { try await promise.run(patience: patience, on: $0) }
    }
}
