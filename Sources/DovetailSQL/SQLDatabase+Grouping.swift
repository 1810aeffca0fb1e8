// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension SQLDatabase {
    /// Runs a body in a transaction that may share its commit with others that are ready at the same time.
    ///
    /// In SQLite, where each commit synchronizes the file, up to 32 that wait for their turn to write share one. When a body throws,
    /// only what it wrote is rolled back; when the commit fails, each is run again, alone. In PostgreSQL each has a commit of its own,
    /// which the server writes to its log together with those of others.
    ///
    /// Those that share a commit wait for each other, so a body must be short and must wait for nothing but its transaction.
    ///
    /// - Parameters:
    ///   - isolation: The level that is wanted at least; the database's default if `nil`. A commit that is shared has the highest.
    ///   - body: Reads and writes through the transaction it is given. It may run again.
    /// - Returns: What the body returned, after the commit.
    /// - Throws: What ``withTransaction(isolation:_:)`` throws.
    @discardableResult
    public func withGroupedTransaction<Result>(
        isolation: IsolationLevel?,
        _ body: (Transaction) async throws -> Result
    ) async throws -> Result {
        guard core.dialect.sharesCommits else { return try await withTransaction(isolation: isolation, body) }
        try await core.prepareToWrite()
        let (role, seat) = try await core.group.join()
        let shared: SharedCommit<Result>
        switch (role, seat) {
        case (.part(let connection), let seat?): shared = try await takePart(seat, on: connection, body)
        case (.alone, _): shared = .failed
        default: shared = try await lead(body)
        }
        switch shared {
        case .committed(let result, let actions):
            for action in actions { action() }
            return result
        case .failed: return try await withTransaction(isolation: isolation, body)
        }
    }

    private func lead<Result>(_ body: (Transaction) async throws -> Result) async throws -> SharedCommit<Result> {
        defer { core.group.resign() }
        return try await core.pool.withConnection(for: .writing) { connection in
            let transaction = core.transaction(on: connection, isolation: nil)
            var seats: [SQLCommitGroup<Pool.Connection>.Seat] = []
            do {
                let result = try await core.marking { try await body(transaction) }
                while seats.count + 1 < SQLCommitGroup<Pool.Connection>.mostMembers, let seat = core.group.next() {
                    seats.append(seat)
                    if seats.count == 1 { try await transaction.sendAllNow() }
                    guard seat.give(.part(connection)) else { continue }
                    if await !seat.isIntact.value { throw PartFailed() }
                }
                let actions = try await transaction.commit()
                for seat in seats { seat.isCommitted.settle(true) }
                return .committed(result, actions)
            } catch {
                await transaction.rollBack()
                for seat in seats where !seat.give(.alone) { seat.isCommitted.settle(false) }
                let reason = transaction.reason(for: error)
                if !seats.isEmpty || (reason as? DatabaseError)?.code.endsRunOnly ?? false { return .failed }
                throw reason
            }
        }
    }

    private func takePart<Result>(
        _ seat: SQLCommitGroup<Pool.Connection>.Seat, on connection: Pool.Connection,
        _ body: (Transaction) async throws -> Result
    ) async throws -> SharedCommit<Result> {
        let transaction = core.partTransaction(on: connection)
        do {
            try Task.checkCancellation()
            let result = try await core.marking { try await body(transaction) }
            let actions = try await transaction.commit()
            seat.isIntact.settle(true)
            return await seat.isCommitted.value ? .committed(result, actions) : .failed
        } catch {
            let isIntact = await transaction.rollBack()
            seat.isIntact.settle(isIntact)
            guard isIntact else {
                _ = await seat.isCommitted.value
                return .failed
            }
            throw transaction.reason(for: error)
        }
    }
}

/// What came of sharing a commit.
private enum SharedCommit<Result> {
    case committed(Result, [@Sendable () -> Void])
    /// Nothing was committed, for no fault of the body.
    case failed
}

/// One that took part has left the connection as it must not be committed.
private struct PartFailed: Error {}
