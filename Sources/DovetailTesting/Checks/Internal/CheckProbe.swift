// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

/// What the checks of databases and stores share: names that nobody else uses, waiting, and words for failures.
struct CheckProbe: Sendable {
    let check: String
    let patience: StoreCheckPatience
    private let run: String

    init(_ check: String, patience: StoreCheckPatience) {
        self.check = check
        self.patience = patience
        run = Runtime.current.makeUUID().description
    }

    func failure(_ message: String) -> CheckFailure {
        CheckFailure(check: check, message)
    }

    func require(_ condition: Bool, _ message: @autoclosure () -> String) throws {
        guard condition else { throw failure(message()) }
    }

    func require<Value: Equatable>(_ value: Value, is expected: Value, _ what: String) throws {
        guard value == expected else { throw failure("\(what): expected \(expected), found \(value).") }
    }

    /// Runs what must fail with an error of the database.
    func require(
        _ code: DatabaseError.Code, _ what: String, _ body: () async throws -> Void
    ) async throws {
        do {
            try await body()
        } catch let error as DatabaseError where error.code == code {
            return
        } catch let error as CheckFailure {
            throw error
        } catch {
            throw failure("\(what) must fail with the code \(code), but failed with: \(error)")
        }
        throw failure("\(what) must fail with the code \(code), but succeeded.")
    }

    /// Runs a body that must roll back.
    func rollingBack(_ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch is RollBack {
            return
        }
        throw failure("A transaction whose body threw did not throw the same error.")
    }

    /// A name that no other run of a check uses.
    func name(_ name: String) -> String { "check.\(run).\(name)" }

    // MARK: Waiting

    /// Waits until a lease, delay or retention of ``StoreCheckPatience/span`` has ended.
    func waitForSpan() async throws {
        try await Runtime.current.time.sleep(for: patience.span + patience.slack)
    }

    /// Waits a moment, in which what can happen does.
    func pause() async throws {
        try await Runtime.current.time.sleep(for: patience.slack)
    }

    /// Waits until a body returns a value.
    func eventually<Value>(_ what: String, _ body: () async throws -> Value?) async throws -> Value {
        let time = Runtime.current.time
        let deadline = time.monotonic() + patience.limit
        while true {
            if let value = try await body() { return value }
            guard time.monotonic() < deadline else { throw failure("\(what) did not happen within \(patience.limit).") }
            try await time.sleep(for: .milliseconds(5))
        }
    }

    /// Runs bodies side by side, and ends them all when one fails or it takes too long.
    func together(_ what: String, _ bodies: [@Sendable () async throws -> Void]) async throws {
        let (time, limit) = (Runtime.current.time, patience.limit)
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for body in bodies {
                group.addTask {
                    try await body()
                    return true
                }
            }
            group.addTask {
                do { try await time.sleep(for: limit) } catch { return true }
                return false
            }
            var open = bodies.count
            while open > 0, let isDone = try await group.next() {
                guard isDone else {
                    group.cancelAll()
                    throw failure("\(what) did not end within \(limit).")
                }
                open -= 1
            }
            group.cancelAll()
        }
    }

    // MARK: Failing by name

    /// Runs a check, and has whatever it throws fail by the check's name.
    static func naming(_ check: String, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let error where error is CheckFailure || error is CancellationError {
            throw error
        } catch {
            throw CheckFailure(check: check, "The store threw \(error).")
        }
    }

    /// Runs a check and records what it finds as an issue.
    static func record(at location: SourceLocation, _ body: () async throws -> Void) async throws {
        do {
            try await body()
        } catch let failure as CheckFailure {
            Issue.record("\(failure)", sourceLocation: location)
        }
    }
}

/// What a check throws to have a transaction rolled back.
struct RollBack: Error {}

/// A point that several tasks pass once one of them has opened it.
final class CheckGate: Sendable {
    private struct State: Sendable {
        var isOpen = false
        var waiters = WaiterList()
    }

    private let monitor = Monitor(State())

    func open() {
        monitor.withLock { state in
            state.isOpen = true
            return state.waiters.wakeAll()
        }.resume()
    }

    /// Waits until it is open.
    func wait() async throws {
        try await monitor.wait(in: \.waiters) { $0.isOpen ? () : nil }
    }

    /// Waits until it is open, but no longer than so.
    func wait(atMost limit: Duration) async throws {
        let time = Runtime.current.time
        await withTaskGroup(of: Void.self) { group in
            group.addTask { try? await self.wait() }
            group.addTask { try? await time.sleep(for: limit) }
            await group.next()
            group.cancelAll()
        }
        try Task.checkCancellation()
    }
}
