// SPDX-License-Identifier: Apache-2.0

/// The shared part of all handles of one ``InMemoryDatabase``.
final class InMemoryEngine: Sendable {
    private struct State: Sendable {
        var tables = InMemoryTables()
        var stores: [ObjectIdentifier: any InMemoryStore] = [:]
        var transactionCount: UInt64 = 0
        var open: Set<UInt64> = []
        var isWriting = false
        var writers = WaiterList()
        var lockHolders: [String: UInt64] = [:]
        var locks: [UInt64: [String]] = [:]
        /// Who waits for which lock, first come first served.
        var lockLines: [String: [UInt64]] = [:]
        /// Which transaction another one waits for, to find circles.
        var waitsFor: [UInt64: UInt64] = [:]
        var lockWaiters = WaiterList()
        var commitsToRefuse = 0

        mutating func take(_ name: String, for transaction: UInt64) {
            lockHolders[name] = transaction
            locks[transaction, default: []].append(name)
            waitsFor[transaction] = nil
        }

        /// Lets go of all locks, and hands each to the first who waits for it.
        ///
        /// Were it only free, whoever runs again after a deadlock could take it before the one who waited, and be in its way
        /// once more.
        ///
        /// - Returns: Whether anyone has to be woken.
        mutating func letGo(of transaction: UInt64) -> Bool {
            guard let held = locks.removeValue(forKey: transaction) else { return false }
            for name in held {
                if let next = lockLines[name]?.first {
                    leaveLine(name, next)
                    take(name, for: next)
                } else {
                    lockHolders[name] = nil
                }
            }
            return true
        }

        mutating func leaveLine(_ name: String, _ transaction: UInt64) {
            lockLines[name]?.removeAll { $0 == transaction }
            if lockLines[name]?.isEmpty ?? false { lockLines[name] = nil }
        }

        /// Whether `transaction` would, through those it waits for, wait for itself.
        func closesCircle(_ transaction: UInt64, waitingFor holder: UInt64) -> Bool {
            var next: UInt64? = holder
            while let current = next {
                if current == transaction { return true }
                next = waitsFor[current]
            }
            return false
        }
    }

    private let monitor = Monitor(State())
    let concurrency: InMemoryDatabase.Concurrency
    let runtime: Runtime?

    init(concurrency: InMemoryDatabase.Concurrency, runtime: Runtime?) {
        self.concurrency = concurrency
        self.runtime = runtime
    }

    // MARK: Transactions

    func beginWriting(isolation: IsolationLevel?, fence: (any EffectFence)?) async throws -> InMemoryTransaction {
        try Task.checkCancellation()
        let turn = monitor.withLock { state -> WaiterList.ID? in
            guard concurrency == .oneWriter else { return nil }
            if state.isWriting { return state.writers.reserve() }
            state.isWriting = true
            return nil
        }
        // Whoever is woken has been handed the turn, so that no newcomer can take it first.
        if let turn, await !monitor.suspend(turn, in: \.writers) { throw CancellationError() }
        let number = monitor.withLock { state in
            state.transactionCount += 1
            state.open.insert(state.transactionCount)
            return state.transactionCount
        }
        return InMemoryTransaction(
            number: number, engine: self, fence: fence, snapshot: nil,
            // With one writer at a time every transaction is.
            isSerializable: concurrency == .readCommitted && isolation == .serializable
        )
    }

    func beginReading(fence: (any EffectFence)?) -> InMemoryTransaction {
        let (number, tables) = monitor.withLock { state in
            state.transactionCount += 1
            return (state.transactionCount, state.tables)
        }
        return InMemoryTransaction(number: number, engine: self, fence: fence, snapshot: tables)
    }

    /// Makes what the transaction wrote visible, all at once, and lets the next writer begin.
    func commit(_ transaction: InMemoryTransaction) throws {
        let actions = transaction.end()
        do {
            try transaction.checkFence()
            try monitor.withLock { state in
                if state.commitsToRefuse > 0 {
                    state.commitsToRefuse -= 1
                    throw Self.serializationFailure
                }
                if let reads = transaction.tableReads, !state.tables.satisfies(reads) {
                    throw Self.serializationFailure
                }
                state.tables.apply(transaction.tableChanges)
                for action in actions.commit { action() }
            }
        } catch {
            release(transaction)
            throw error
        }
        release(transaction)
        (runtime ?? .current).probe?.committed()
        for action in actions.afterCommit { action() }
    }

    private static var serializationFailure: DatabaseError {
        DatabaseError(
            .serializationFailure,
            "The commit was refused because of what other transactions did meanwhile. Run the transaction again."
        )
    }

    func rollBack(_ transaction: InMemoryTransaction) {
        _ = transaction.end()
        release(transaction)
    }

    private func release(_ transaction: InMemoryTransaction) {
        let (writers, lockWaiters) = monitor.withLock { state -> (Wakeup?, Wakeup?) in
            var writers: Wakeup?
            if concurrency == .oneWriter {
                let next = state.writers.wakeFirst()
                state.isWriting = next.count > 0
                writers = next
            }
            state.open.remove(transaction.number)
            state.waitsFor[transaction.number] = nil
            return (writers, state.letGo(of: transaction.number) ? state.lockWaiters.wakeAll() : nil)
        }
        writers?.resume()
        lockWaiters?.resume()
    }

    func lock(_ name: String, for transaction: UInt64) async throws {
        do {
            try await monitor.wait(in: \.lockWaiters) { state -> Void? in
                guard let holder = state.lockHolders[name] else { return state.take(name, for: transaction) }
                if holder == transaction { return () }
                if state.closesCircle(transaction, waitingFor: holder) {
                    throw DatabaseError(
                        .deadlock,
                        "Two transactions wait for each other over '\(name)'. Run this one again, and take locks in one order."
                    )
                }
                if state.waitsFor.updateValue(holder, forKey: transaction) == nil {
                    state.lockLines[name, default: []].append(transaction)
                }
                return nil
            }
        } catch {
            monitor.withLock { state in
                state.waitsFor[transaction] = nil
                state.leaveLine(name, transaction)
            }
            throw error
        }
    }

    /// Whether a transaction that writes has not ended yet.
    func isOpen(_ number: UInt64) -> Bool {
        monitor.withLock { $0.open.contains(number) }
    }

    func refuseCommits(_ count: Int) {
        monitor.withLock { $0.commitsToRefuse += count }
    }

    // MARK: Rows and stores

    func row(_ key: String, in table: String) -> StoredRow? {
        monitor.withLock { $0.tables[table, key] }
    }

    func tables() -> InMemoryTables {
        monitor.withLock { $0.tables }
    }

    func store<Store: InMemoryStore>(_ type: Store.Type) -> Store {
        let key = ObjectIdentifier(type)
        return monitor.withLock { state in
            if let existing = state.stores[key] as? Store { return existing }
            let made = Store(runtime: runtime)
            state.stores[key] = made
            return made
        }
    }

    /// How many transactions that write have begun and not ended.
    var openTransactions: Int { monitor.withLock(\.open.count) }

    var hasPendingWork: Bool {
        let (isOpen, stores) = monitor.withLock { (!$0.open.isEmpty, $0.stores) }
        return isOpen || stores.values.contains { $0.pendingWork > 0 }
    }

    var pendingWork: [(store: String, count: Int)] {
        monitor.withLock { $0.stores }.values
            .map { (store: String(describing: Swift.type(of: $0)), count: $0.pendingWork) }
            .filter { $0.count > 0 }
            .sorted { $0.store < $1.store }
    }
}
