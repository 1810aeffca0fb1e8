// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Synchronization

/// The checks of a database.
struct DatabaseProbe<DB: TableDatabase>: Sendable {
    let probe: CheckProbe
    let database: DB
    let table: String

    init(_ probe: CheckProbe, on database: DB) {
        self.probe = probe
        self.database = database
        table = probe.name("rows")
    }

    // MARK: Rows

    func write(_ text: String, at key: String, in tx: DB.Transaction) async throws {
        try await database.tableStore.write(Bytes("\"\(text)\"".utf8), at: key, to: table, expecting: nil, in: tx)
    }

    private func read(_ key: String, in tx: DB.Transaction) async throws -> String? {
        try await database.tableStore.read(key, from: table, in: tx).map {
            String(decoding: $0.bytes.dropFirst().dropLast(), as: UTF8.self)
        }
    }

    /// As of the last commit.
    func read(_ key: String) async throws -> String? {
        try await database.withReadTransaction { tx in try await read(key, in: tx) }
    }

    private func write(_ text: String, at key: String) async throws {
        try await database.withTransaction { tx in try await write(text, at: key, in: tx) }
    }

    // MARK: Commit and roll-back

    func committedIsVisible() async throws {
        let result = try await database.withTransaction { tx in
            try await write("1", at: "a", in: tx)
            try await write("2", at: "b", in: tx)
            return 7
        }
        try probe.require(result, is: 7, "What the body returned")
        try probe.require(try await read("a"), is: "1", "The first row that was committed")
        try probe.require(try await read("b"), is: "2", "The second row that was committed")
        let seen = try await database.withTransaction { tx in try await read("a", in: tx) }
        try probe.require(seen, is: "1", "A row that was committed, read by the next transaction")
    }

    func rolledBackLeavesNothing() async throws {
        try await write("old", at: "a")
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                try await write("new", at: "a", in: tx)
                try await write("new", at: "b", in: tx)
                throw RollBack()
            }
        }
        try probe.require(try await read("a"), is: "old", "A row whose change was rolled back")
        try probe.require(try await read("b"), is: nil, "A new row that was rolled back")
        try await write("later", at: "a")
        try probe.require(try await read("b"), is: nil, "A new row that was rolled back, after another commit")
    }

    func uncommittedIsUnseen() async throws {
        try await write("old", at: "a")
        let (wrote, looked) = (CheckGate(), CheckGate())
        try await probe.together(
            "Reading beside a writer",
            [
                {
                    try await database.withTransaction { tx in
                        try await write("new", at: "a", in: tx)
                        try await write("new", at: "b", in: tx)
                        wrote.open()
                        try await looked.wait()
                    }
                },
                {
                    try await wrote.wait()
                    defer { looked.open() }
                    try probe.require(try await read("a"), is: "old", "A row that was changed and not committed")
                    try probe.require(try await read("b"), is: nil, "A new row that was not committed")
                },
            ]
        )
        try probe.require(try await read("a"), is: "new", "The row after the commit")
    }

    func ownWritesAreSeen() async throws {
        try await write("old", at: "a")
        try await write("old", at: "b")
        try await database.withTransaction { tx in
            try await write("new", at: "a", in: tx)
            try probe.require(try await read("a", in: tx), is: "new", "A row the transaction itself wrote")
            try await database.tableStore.delete("b", from: table, in: tx)
            try probe.require(try await read("b", in: tx), is: nil, "A row the transaction itself deleted")
        }
    }

    // MARK: Use and misuse

    func nestedIsRefused() async throws {
        try await database.withTransaction { tx in
            try await write("outer", at: "a", in: tx)
            try await probe.require(.nestedTransaction, "A transaction within another") {
                try await database.withTransaction { inner in try await write("inner", at: "b", in: inner) }
            }
            try await write("outer", at: "c", in: tx)
        }
        try probe.require(try await read("a"), is: "outer", "A row of the outer transaction")
        try probe.require(try await read("b"), is: nil, "A row of the inner transaction")
        try probe.require(try await read("c"), is: "outer", "A row the outer transaction wrote afterwards")
    }

    func endedIsRefused() async throws {
        var kept: DB.Transaction?
        try await database.withTransaction { tx in
            try await write("1", at: "a", in: tx)
            kept = tx
        }
        guard let committed = kept else { throw probe.failure("The body did not run.") }
        try await probe.require(.transactionEnded, "Writing in a transaction that has committed") {
            try await write("2", at: "a", in: committed)
        }
        try await probe.require(.transactionEnded, "Reading in a transaction that has committed") {
            _ = try await read("a", in: committed)
        }
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                kept = tx
                throw RollBack()
            }
        }
        if let rolledBack = kept {
            try await probe.require(.transactionEnded, "Writing in a transaction that has rolled back") {
                try await write("2", at: "a", in: rolledBack)
            }
        }
        try probe.require(try await read("a"), is: "1", "The row")
    }

    func foreignIsRefused(other: DB) async throws {
        try await database.withTransaction { tx in
            try await probe.require(.foreignTransaction, "Writing to a table of another database") {
                try await other.tableStore.write(Bytes("1".utf8), at: "a", to: table, expecting: nil, in: tx)
            }
            try await probe.require(.foreignTransaction, "Reading from a table of another database") {
                _ = try await other.tableStore.read("a", from: table, in: tx)
            }
        }
        try probe.require(try await read("a"), is: nil, "The row in the transaction's own database")
    }

    // MARK: Reading

    func readerCannotWrite() async throws {
        try await database.withReadTransaction { tx in
            try await probe.require(.readOnlyTransaction, "Writing in a transaction that only reads") {
                try await write("1", at: "a", in: tx)
            }
        }
        try probe.require(try await read("a"), is: nil, "The row")
    }

    func readerSeesOneMoment() async throws {
        try await database.withTransaction { tx in
            try await write("old", at: "a", in: tx)
            try await write("old", at: "b", in: tx)
        }
        let (began, changed) = (CheckGate(), CheckGate())
        try await probe.together(
            "Writing beside a reader",
            [
                {
                    try await database.withReadTransaction { tx in
                        try probe.require(try await read("a", in: tx), is: "old", "The first row")
                        began.open()
                        try await changed.wait()
                        try probe.require(try await read("b", in: tx), is: "old", "Another row, changed meanwhile")
                        try probe.require(try await read("a", in: tx), is: "old", "The first row, read again")
                        try probe.require(try await read("c", in: tx), is: nil, "A row that came meanwhile")
                    }
                },
                {
                    try await began.wait()
                    try await database.withTransaction { tx in
                        for key in ["a", "b", "c"] { try await write("new", at: key, in: tx) }
                    }
                    changed.open()
                },
            ]
        )
        try probe.require(try await read("b"), is: "new", "The row for the next reader")
    }

    func readerDoesNotWait() async throws {
        try await write("old", at: "a")
        let (wrote, done) = (CheckGate(), CheckGate())
        try await probe.together(
            "Reading while a writer is idle",
            [
                {
                    try await database.withTransaction { tx in
                        try await write("new", at: "a", in: tx)
                        wrote.open()
                        try await done.wait()
                    }
                },
                {
                    try await wrote.wait()
                    for _ in 0..<10 { _ = try await read("a") }
                    done.open()
                },
            ]
        )
    }

    // MARK: After the commit

    func afterCommitRunsAfterwards() async throws {
        let runs = Shared(0)
        try await database.withTransaction { tx in
            tx.afterCommit { runs.withLock { $0 += 1 } }
            try await write("1", at: "a", in: tx)
            try await probe.pause()
            try probe.require(runs.withLock { $0 }, is: 0, "How often the action ran before the commit")
        }
        try await probe.eventually("The action") { runs.withLock { $0 > 0 ? () : nil } }
        try probe.require(runs.withLock { $0 }, is: 1, "How often the action ran")
    }

    func afterCommitIsDropped() async throws {
        let runs = Shared(0)
        try await probe.rollingBack {
            try await database.withTransaction { tx in
                tx.afterCommit { runs.withLock { $0 += 1 } }
                try await write("1", at: "a", in: tx)
                throw RollBack()
            }
        }
        try await write("1", at: "b")
        try await probe.pause()
        try probe.require(runs.withLock { $0 }, is: 0, "How often the action of a transaction that rolled back ran")
    }

    // MARK: Side by side

    func concurrentTransactionsCommit() async throws {
        try await probe.together(
            "Fifty transactions at once",
            (0..<50).map { number in
                {
                    try await database.withTransaction { tx in
                        await Task.yield()
                        try await write(String(number), at: String(number), in: tx)
                        await Task.yield()
                    }
                }
            }
        )
        for number in 0..<50 {
            try probe.require(try await read(String(number)), is: String(number), "The row of transaction \(number)")
        }
    }

    func checkedUpdatesAreNotLost() async throws {
        try await countUp { tx in
            let stored = try await database.tableStore.read("count", from: table, in: tx)
            let count = stored.flatMap { Int(String(decoding: $0.bytes, as: UTF8.self)) } ?? 0
            await Task.yield()
            try await database.tableStore.write(
                Bytes(String(count + 1).utf8), at: "count", to: table, expecting: stored?.version ?? 0, in: tx
            )
        }
    }

    func serializableUpdatesAreNotLost() async throws {
        try await countUp(isolation: .serializable) { tx in
            let stored = try await database.tableStore.read("count", from: table, in: tx)
            let count = stored.flatMap { Int(String(decoding: $0.bytes, as: UTF8.self)) } ?? 0
            await Task.yield()
            try await database.tableStore.write(
                Bytes(String(count + 1).utf8), at: "count", to: table, expecting: nil, in: tx
            )
        }
    }

    private func countUp(
        isolation: IsolationLevel? = nil, _ step: @escaping @Sendable (DB.Transaction) async throws -> Void
    ) async throws {
        let (writers, steps) = (8, 10)
        let probe = probe
        let database = database
        try await probe.together(
            "\(writers) writers of one row",
            (0..<writers).map { _ in
                {
                    for _ in 0..<steps {
                        _ = try await probe.eventually("An update") {
                            do {
                                try await database.withTransaction(isolation: isolation, step)
                                return true
                            } catch let error as DatabaseError
                                where error.code == .versionConflict || error.code.isTransient
                            {
                                return nil
                            }
                        }
                    }
                }
            }
        )
        let bytes = try await database.withReadTransaction { tx in
            try await database.tableStore.read("count", from: table, in: tx)?.bytes
        }
        try probe.require(
            bytes.map { String(decoding: $0, as: UTF8.self) }, is: String(writers * steps),
            "A count after \(writers * steps) increments of which each committed"
        )
    }

    // MARK: Cancellation

    func cancelledDoesNotBegin() async throws {
        let hasRun = Shared(false)
        let error = await withTaskGroup(of: (any Error)?.self) { [database] group in
            group.cancelAll()
            group.addTask {
                do {
                    try await database.withTransaction { _ in hasRun.withLock { $0 = true } }
                    return nil
                } catch {
                    return error
                }
            }
            return await group.next() ?? nil
        }
        try probe.require(!hasRun.withLock { $0 }, "The body ran although its task was cancelled before.")
        try probe.require(
            error is CancellationError, "A cancelled task must get a CancellationError, but got \(error as Any).")
    }

    func cancelledWaitLeavesNothing() async throws {
        let (wrote, cancelled) = (CheckGate(), CheckGate())
        try await probe.together(
            "Cancelling one who waits",
            [
                {
                    try await database.withTransaction { tx in
                        try await write("first", at: "a", in: tx)
                        wrote.open()
                        try await cancelled.wait()
                    }
                },
                {
                    try await wrote.wait()
                    let time = Runtime.current.time
                    let slack = probe.patience.slack
                    await withTaskGroup(of: Void.self) { group in
                        group.addTask {
                            try? await database.withTransaction { tx in
                                try await write("second", at: "a", in: tx)
                                try await write("second", at: "b", in: tx)
                            }
                        }
                        // Long enough to come to the wait for the first one's row, or its turn.
                        try? await time.sleep(for: slack)
                        group.cancelAll()
                    }
                    cancelled.open()
                },
            ]
        )
        try probe.require(try await read("a"), is: "first", "The row after the one who waited was cancelled")
        try probe.require(try await read("b"), is: nil, "A row of the one who was cancelled")
        try await write("third", at: "a")
        try probe.require(try await read("a"), is: "third", "The row after the next transaction")
    }
}
