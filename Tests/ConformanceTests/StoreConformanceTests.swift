// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailTesting
import Testing

/// A check of some kind with a database of some kind: what the tests below have in common.
private func verify(
    _ name: String, on concurrency: InMemoryDatabase.Concurrency,
    _ check: @escaping @Sendable (@escaping @Sendable () -> InMemoryDatabase) async throws -> Void
) async throws {
    for seed in 0..<5 as Range<UInt64> {
        try await Simulation(seed: seed).run { try await check { InMemoryDatabase(concurrency: concurrency) } }
    }
}

/// Waits cost nothing here, and how busy the machine is decides nothing.
private func inVirtualTime(_ body: @escaping @Sendable () async throws -> Void) async throws {
    try await Simulation(seed: 0).run(body)
}

@Suite(.timeLimit(.minutes(10)))
struct DatabaseConformanceTests {
    @Test("The in-memory database conforms", arguments: DatabaseCheck.allCases)
    func inMemoryConforms(_ check: DatabaseCheck) async throws {
        try await inVirtualTime { try await check.run { InMemoryDatabase() } }
    }

    @Test("With transactions side by side, the in-memory database conforms", arguments: DatabaseCheck.allCases)
    func readCommittedConforms(_ check: DatabaseCheck) async throws {
        try await inVirtualTime { try await check.run { InMemoryDatabase(concurrency: .readCommitted) } }
    }

    @Test(
        "The in-memory database conforms in any order of events", arguments: DatabaseCheck.allCases,
        [InMemoryDatabase.Concurrency.oneWriter, .readCommitted]
    )
    func conformsInAnyOrder(_ check: DatabaseCheck, _ concurrency: InMemoryDatabase.Concurrency) async throws {
        try await verify(check.rawValue, on: concurrency) { make in try await check.verify(on: make) }
    }

    @Test("Its tables conform", arguments: TableStoreCheck.allCases)
    func tablesConform(_ check: TableStoreCheck) async throws {
        try await inVirtualTime { try await check.run { InMemoryDatabase() } }
        try await inVirtualTime { try await check.run { InMemoryDatabase(concurrency: .readCommitted) } }
    }
}

@Suite(.timeLimit(.minutes(10)))
struct OutboxConformanceTests {
    @Test("The in-memory outbox conforms", arguments: OutboxStoreCheck.allCases)
    func inMemoryConforms(_ check: OutboxStoreCheck) async throws {
        try await inVirtualTime { try await check.run { InMemoryDatabase() } }
    }

    @Test(
        "The in-memory outbox conforms in any order of events", arguments: OutboxStoreCheck.allCases,
        [InMemoryDatabase.Concurrency.oneWriter, .readCommitted]
    )
    func conformsInAnyOrder(_ check: OutboxStoreCheck, _ concurrency: InMemoryDatabase.Concurrency) async throws {
        try await verify(check.rawValue, on: concurrency) { make in try await check.verify(on: make) }
    }
}

@Suite(.timeLimit(.minutes(10)))
struct IdempotencyConformanceTests {
    @Test("The in-memory idempotency store conforms", arguments: IdempotencyStoreCheck.allCases)
    func inMemoryConforms(_ check: IdempotencyStoreCheck) async throws {
        try await inVirtualTime { try await check.run { InMemoryDatabase() } }
    }

    @Test(
        "The in-memory idempotency store conforms in any order of events", arguments: IdempotencyStoreCheck.allCases,
        [InMemoryDatabase.Concurrency.oneWriter, .readCommitted]
    )
    func conformsInAnyOrder(_ check: IdempotencyStoreCheck, _ concurrency: InMemoryDatabase.Concurrency) async throws {
        try await verify(check.rawValue, on: concurrency) { make in try await check.verify(on: make) }
    }
}

@Suite(.timeLimit(.minutes(10)))
struct DeadLetterConformanceTests {
    @Test("The in-memory dead letters conform", arguments: DeadLetterStoreCheck.allCases)
    func inMemoryConforms(_ check: DeadLetterStoreCheck) async throws {
        try await inVirtualTime { try await check.run { InMemoryDatabase() } }
        try await inVirtualTime { try await check.run { InMemoryDatabase(concurrency: .readCommitted) } }
    }
}
