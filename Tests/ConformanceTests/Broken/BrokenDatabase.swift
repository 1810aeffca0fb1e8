// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency
import DovetailOutbox
import DovetailTesting
import Synchronization

/// A database that breaks one promise, to show that a check notices.
struct BrokenDatabase: TableDatabase, OutboxDatabase, IdempotencyDatabase, DeadLetterDatabase {
    enum Defect: String, CaseIterable, Sendable {
        // Of the database.
        case losesCommits, commitsOnError, leaksWrites, readsLatestCommit, misnamesNesting, writesAfterEnd,
            takesForeigners
        case letsReadersWrite, queuesReaders, actsBeforeCommit, forgetsActions, actsAfterRollBack, losesOverlapping
        case ignoresIsolation, runsWhenCancelled, writesOnWhenCancelled, commitsGroupedFailures, losesGroupedCommits
        // Of its tables.
        case truncatesRows, freezesVersions, ignoresExpectedVersion, checksVersionEarly, deletesNothing, sharesTables
        case foldsKeys, sortsFolded, takesPrefixAsPattern, repeatsLastOfPage, scansCommitted
    }

    let inner: InMemoryDatabase
    let defect: Defect?
    let outboxDefect: BrokenOutboxStore.Defect?
    let idempotencyDefect: BrokenIdempotencyStore.Defect?
    let deadLetterDefect: BrokenDeadLetterStore.Defect?
    /// Where a store that does not take part in transactions keeps its things.
    let aside: InMemoryDatabase
    let memory = Memory()

    init(
        _ defect: Defect? = nil, outbox: BrokenOutboxStore.Defect? = nil,
        idempotency: BrokenIdempotencyStore.Defect? = nil, deadLetters: BrokenDeadLetterStore.Defect? = nil,
        concurrency: InMemoryDatabase.Concurrency? = nil
    ) {
        let sideBySide: [Defect] = [
            .ignoresExpectedVersion, .checksVersionEarly, .ignoresIsolation, .writesOnWhenCancelled,
        ]
        let concurrency = concurrency ?? (defect.map(sideBySide.contains) ?? false ? .readCommitted : .oneWriter)
        inner = InMemoryDatabase(concurrency: concurrency)
        aside = InMemoryDatabase()
        self.defect = defect
        outboxDefect = outbox
        idempotencyDefect = idempotency
        deadLetterDefect = deadLetters
    }

    var tableStore: BrokenTables { BrokenTables(database: self) }
    var outboxStore: BrokenOutboxStore { BrokenOutboxStore(database: self) }
    var idempotencyStore: BrokenIdempotencyStore { BrokenIdempotencyStore(database: self) }
    var deadLetterStore: BrokenDeadLetterStore { BrokenDeadLetterStore(database: self) }

    func withTransaction<Result>(
        isolation: IsolationLevel?, _ body: (BrokenTransaction) async throws -> Result
    ) async throws -> Result {
        let overlaps = memory.begin()
        defer { memory.end() }
        var result: Result?
        var failure: (any Error)?
        var actions: [@Sendable () -> Void] = []
        do {
            try await inner.withTransaction(isolation: defect == .ignoresIsolation ? nil : isolation) { tx in
                let transaction = BrokenTransaction(tx, defect: defect)
                defer { actions = transaction.actions }
                do {
                    result = try await body(transaction)
                } catch {
                    guard defect == .commitsOnError else { throw error }
                    failure = error
                }
                if defect == .losesCommits || defect == .losesOverlapping && overlaps { throw Undo() }
            }
        } catch is Undo {
        } catch let error as DatabaseError where error.code == .nestedTransaction && defect == .misnamesNesting {
            throw DatabaseError(.unsupported, "Not now.")
        } catch let error as CancellationError {
            guard defect == .runsWhenCancelled else { throw error }
            return try await aside.withReadTransaction { tx in try await body(BrokenTransaction(tx, defect: defect)) }
        } catch {
            if defect == .actsAfterRollBack { for action in actions { action() } }
            throw error
        }
        if let failure { throw failure }
        guard let result else { throw Undo() }
        if defect == .actsAfterRollBack { for action in actions { action() } }
        return result
    }

    func withGroupedTransaction<Result>(
        isolation: IsolationLevel?, _ body: (BrokenTransaction) async throws -> Result
    ) async throws -> Result {
        guard defect == .commitsGroupedFailures || defect == .losesGroupedCommits else {
            return try await withTransaction(isolation: isolation, body)
        }
        var outcome: Swift.Result<Result, any Error> = .failure(Undo())
        do {
            try await inner.withTransaction { tx in
                do {
                    outcome = .success(try await body(BrokenTransaction(tx, defect: defect)))
                } catch {
                    outcome = .failure(error)
                }
                if defect == .losesGroupedCommits { throw Undo() }
            }
        } catch is Undo {
        }
        return try outcome.get()
    }

    func withReadTransaction<Result>(_ body: (BrokenTransaction) async throws -> Result) async throws -> Result {
        if defect == .queuesReaders {
            return try await inner.withTransaction { tx in try await body(BrokenTransaction(tx, defect: defect)) }
        }
        return try await inner.withReadTransaction { tx in try await body(BrokenTransaction(tx, defect: defect)) }
    }

    private struct Undo: Error {}

    /// What the broken parts remember beside the database.
    final class Memory: Sendable {
        struct State: Sendable {
            var open = 0
            var leaked: [String: StoredRow] = [:]
            var appendOrder: [MessageID: Int] = [:]
            var latestCompleted = 0
            var rowTokens: [OutboxRow.ID: FencingToken] = [:]
            var keyTokens: [IdempotencyKey: FencingToken] = [:]
            var leaseEnds: [FencingToken: MonotonicInstant] = [:]
            var keys: Set<IdempotencyKey> = []
            var keysOfRows: [MessageID: (key: PartitionKey?, topic: Topic)] = [:]
            var letters: [DeadLetter] = []
            var removed: Set<String> = []
        }

        private let state = Mutex(State())

        func with<Result: Sendable>(_ body: (inout State) -> Result) -> Result {
            state.withLock { body(&$0) }
        }

        func begin() -> Bool {
            with { state in
                state.open += 1
                return state.open > 1
            }
        }

        func end() {
            with { $0.open -= 1 }
        }
    }
}

final class BrokenTransaction: DatabaseTransaction {
    let inner: InMemoryTransaction
    private let defect: BrokenDatabase.Defect?
    private(set) var actions: [@Sendable () -> Void] = []

    init(_ inner: InMemoryTransaction, defect: BrokenDatabase.Defect?) {
        self.inner = inner
        self.defect = defect
    }

    func afterCommit(_ action: @escaping @Sendable () -> Void) {
        switch defect {
        case .actsBeforeCommit: action()
        case .forgetsActions: break
        case .actsAfterRollBack: actions.append(action)
        default: inner.afterCommit(action)
        }
    }
}

struct BrokenTables: TableStore {
    let database: BrokenDatabase

    private var defect: BrokenDatabase.Defect? { database.defect }
    private var inner: InMemoryTableStore { database.inner.tableStore }

    private func table(_ name: String) -> String { defect == .sharesTables ? "all" : name }
    private func key(_ key: String) -> String { defect == .foldsKeys ? key.lowercased() : key }

    func read(_ key: String, from table: String, in tx: BrokenTransaction) async throws -> StoredRow? {
        if defect == .leaksWrites, let row = database.memory.with({ $0.leaked["\(table)/\(key)"] }) { return row }
        if defect == .readsLatestCommit {
            return try await database.inner.withReadTransaction { tx in
                try await inner.read(key, from: table, in: tx)
            }
        }
        do {
            return try await inner.read(self.key(key), from: self.table(table), in: tx.inner).map { row in
                defect == .freezesVersions ? StoredRow(bytes: row.bytes, version: 1) : row
            }
        } catch let error as DatabaseError where forgives(error) {
            return nil
        }
    }

    private func forgives(_ error: DatabaseError) -> Bool {
        error.code == .transactionEnded && defect == .writesAfterEnd
            || error.code == .foreignTransaction && defect == .takesForeigners
            || error.code == .readOnlyTransaction && defect == .letsReadersWrite
    }

    func write(
        _ bytes: Bytes, at key: String, to table: String, expecting expected: Int64?, in tx: BrokenTransaction
    ) async throws -> Int64 {
        var (bytes, expected) = (bytes, expected)
        if defect == .truncatesRows { bytes = Array(bytes.prefix(65_535)) }
        if defect == .leaksWrites {
            database.memory.with { $0.leaked["\(table)/\(key)"] = StoredRow(bytes: bytes, version: 1) }
        }
        if defect == .ignoresExpectedVersion { expected = nil }
        if defect == .checksVersionEarly, let version = expected {
            let current = try await inner.read(key, from: table, in: tx.inner)?.version ?? 0
            guard current == version else { throw DatabaseError(.versionConflict, "Another was faster.") }
            await Task.yield()
            expected = nil
        }
        do {
            return try await inner.write(
                bytes, at: self.key(key), to: self.table(table), expecting: expected, in: tx.inner)
        } catch let error as DatabaseError where forgives(error) {
            return 1
        } catch let error as CancellationError {
            guard defect == .writesOnWhenCancelled else { throw error }
            return 1
        }
    }

    func delete(_ key: String, from table: String, in tx: BrokenTransaction) async throws -> Bool {
        if defect == .deletesNothing { return try await read(key, from: table, in: tx) != nil }
        return try await inner.delete(self.key(key), from: self.table(table), in: tx.inner)
    }

    func scan(
        _ table: String, prefix: String, after: String?, limit: Int, in tx: BrokenTransaction
    ) async throws -> [(key: String, row: StoredRow)] {
        let table = self.table(table)
        switch defect {
        case .sortsFolded:
            return try await inner.scan(table, prefix: prefix, after: after, limit: limit, in: tx.inner)
                .sorted { ($0.key.lowercased(), $0.key) < ($1.key.lowercased(), $1.key) }
        case .takesPrefixAsPattern where prefix.contains(where: { "%_".contains($0) }):
            let fixed = String(prefix.prefix { !"%_".contains($0) })
            return try await inner.scan(table, prefix: fixed, after: after, limit: limit, in: tx.inner)
        case .repeatsLastOfPage:
            let all = try await inner.scan(table, prefix: prefix, after: nil, limit: .max, in: tx.inner)
            return Array(all.drop { after != nil && $0.key.comparesBytes(to: after ?? "") < 0 }.prefix(limit))
        case .scansCommitted:
            return try await database.inner.withReadTransaction { tx in
                try await inner.scan(table, prefix: prefix, after: after, limit: limit, in: tx)
            }
        default:
            return try await inner.scan(table, prefix: prefix, after: after, limit: limit, in: tx.inner)
        }
    }
}
