// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailResilience

/// Lets only so many calls of each key be under way at once, and only so many of all keys together.
///
/// A key is whatever must not take the others down with it: a tenant, a merchant, a host. However many callers one key has,
/// they take at most its limit of the permits, and stand at most that many deep in front of others.
///
/// ```swift
/// let merchants = KeyedBulkhead<MerchantID>("checkout", limit: 4, total: 64, queue: 8, longestWait: .milliseconds(500))
/// let receipt = try await merchants.withPermit(for: order.merchant) { try await processor.charge(order) }
/// ```
///
/// - Both limits hold at every moment: a caller takes its key's permit and the total's in one step, or neither.
/// - Two keys never block each other, except that all share the total.
/// - Callers of a key are served in the order in which they came. Those who wait for the total are served in the order in which
///   they had a place of their key.
/// - A key takes up memory only while a call of it is under way or waits. An idle one is forgotten at once, and nothing is
///   forgotten with it, since it equals a new one: a million keys cost nothing.
public final class KeyedBulkhead<Key: Hashable & Sendable>: Sendable {
    /// What a keyed bulkhead allows.
    public struct Settings: Sendable, Hashable {
        /// How many permits of one key may be out at once; with zero, no call is let through.
        public let limit: Int

        /// How many permits of all keys together may be out at once; with zero, no call is let through.
        public let total: Int

        /// How many callers of one key may wait at once; with zero, nobody waits.
        public let queue: Int

        /// How many callers of all keys together may wait at once.
        public let totalQueue: Int

        /// How long a caller may wait; with zero nobody waits, without a limit if `nil`.
        public let longestWait: Duration?

        /// Creates settings.
        ///
        /// Numbers below zero count as zero.
        ///
        /// - Parameters:
        ///   - limit: How many permits of one key may be out at once.
        ///   - total: How many permits of all keys together may be out at once; without a limit if `nil`.
        ///   - queue: How many callers of one key may wait at once.
        ///   - totalQueue: How many callers of all keys together may wait at once; without a limit of their own if `nil`.
        ///   - longestWait: How long a caller may wait; without a limit if `nil`.
        public init(
            limit: Int, total: Int? = nil, queue: Int = 0, totalQueue: Int? = nil, longestWait: Duration? = nil
        ) {
            self.limit = max(0, limit)
            self.total = max(0, total ?? .max)
            self.queue = max(0, queue)
            self.totalQueue = max(0, totalQueue ?? .max)
            self.longestWait = longestWait
        }

        /// Whether anybody may wait at all.
        var mayWait: Bool { limit > 0 && total > 0 && queue > 0 && longestWait ?? .seconds(1) > .zero }
    }

    /// The right to one call of a key, held until it is given back.
    ///
    /// Like ``Bulkhead/Permit``: it cannot be copied and is given back exactly once.
    ///
    /// ```swift
    /// guard let permit = merchants.tryAcquire(for: order.merchant) else { return .busy }
    /// ```
    public struct Permit: ~Copyable, Sendable {
        private let core: KeyedCore<Key>
        private let room: Int

        fileprivate init(_ core: KeyedCore<Key>, room: Int) {
            self.core = core
            self.room = room
        }

        deinit {
            core.give(room: room)
        }

        /// Gives the permit back now.
        public consuming func release() {}
    }

    /// What it is called in errors and events.
    public let name: String

    let core: KeyedCore<Key>
    private let ownRuntime: Runtime?

    /// Creates a bulkhead that knows no key yet.
    ///
    /// - Parameters:
    ///   - name: What it is called in errors and events.
    ///   - limit: How many calls of one key may be under way at once. Zero or less lets none through.
    ///   - total: How many calls of all keys together may be under way at once; without a limit if `nil`.
    ///   - queue: How many callers of one key may wait at once; nobody waits unless given.
    ///   - totalQueue: How many callers of all keys together may wait at once; without a limit of their own if `nil`.
    ///   - longestWait: How long a caller may wait; without a limit if `nil`.
    ///   - runtime: Where time comes from and events go to; the current task's if `nil`.
    public convenience init(
        _ name: String = "bulkhead", limit: Int, total: Int? = nil, queue: Int = 0, totalQueue: Int? = nil,
        longestWait: Duration? = nil, runtime: Runtime? = nil
    ) {
        let settings = Settings(
            limit: limit, total: total, queue: queue, totalQueue: totalQueue, longestWait: longestWait)
        self.init(name, settings, runtime: runtime)
    }

    /// Creates a bulkhead that knows no key yet.
    ///
    /// - Parameters:
    ///   - name: What it is called in errors and events.
    ///   - settings: What it allows.
    ///   - runtime: Where time comes from and events go to; the current task's if `nil`.
    public init(_ name: String = "bulkhead", _ settings: Settings, runtime: Runtime? = nil) {
        self.name = name
        core = KeyedCore(settings)
        ownRuntime = runtime
    }

    // MARK: Permits

    /// Takes a permit of a key if one is free and nobody waits for it; never waits.
    ///
    /// - Parameter key: The key.
    /// - Returns: The permit; `nil` if there is none to be had now.
    public func tryAcquire(for key: Key) -> Permit? {
        switch core.takeOrQueue(key, mayWait: false) {
        case .taken(let room): return Permit(core, room: room)
        case .refused(let code):
            turnAway(code, waited: nil)
            return nil
        case .queued: return nil
        }
    }

    /// Takes a permit of a key, and waits for one if the settings allow it.
    ///
    /// - Parameter key: The key.
    /// - Returns: The permit.
    /// - Throws: ``BulkheadError`` with ``BulkheadError/Code/full``, ``BulkheadError/Code/totalFull``,
    ///   ``BulkheadError/Code/queueFull`` or ``BulkheadError/Code/waitTimedOut``; `CancellationError` if the task is cancelled, and
    ///   then at once.
    public func acquire(for key: Key) async throws -> Permit {
        try Task.checkCancellation()
        switch core.takeOrQueue(key, mayWait: true) {
        case .taken(let room): return Permit(core, room: room)
        case .refused(let code): throw rejection(code, key, waited: nil)
        case .queued(let ticket, let room, let longestWait):
            try await wait(ticket, room: room, key, atMost: longestWait)
            return Permit(core, room: room)
        }
    }

    private func wait(_ ticket: Ticket, room: Int, _ key: Key, atMost longestWait: Duration?) async throws {
        let time = (ownRuntime ?? .current).time
        let start = time.monotonic()
        let waiting = Waiting(
            park: { [core] waker in core.park(ticket, waker) },
            settle: { [core] outcome in core.settle(ticket, outcome) }
        )
        let outcome = await waiting.outcome(until: longestWait.map { start + $0 }, by: time)
        let waited = time.monotonic() - start
        switch outcome {
        case .granted:
            // A permit that came together with the cancellation is of use to the next.
            guard !Task.isCancelled else {
                core.give(room: room)
                throw CancellationError()
            }
            if Runtime.mayBeHeard { report(BulkheadWaited(bulkhead: name, waited: waited)) }
        case .timedOut: throw rejection(.waitTimedOut, key, waited: waited)
        case .turnedAway: throw rejection(.full, key, waited: waited)
        case .cancelled: throw CancellationError()
        }
    }

    // MARK: Calls

    /// Makes a call with a permit of a key, and waits for one if the settings allow it.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``BulkheadError`` if it was not made; `CancellationError` if the task was cancelled before
    ///   the call was made.
    public func withPermit<Result>(for key: Key, _ body: () async throws -> Result) async throws -> Result {
        let permit = try await acquire(for: key)
        let result = try await body()
        permit.release()
        return result
    }

    /// The guard of one key.
    ///
    /// ```swift
    /// let guarded = Guarded(by: breaker, merchants.guarding(order.merchant), .timeout(.seconds(2)))
    /// ```
    ///
    /// - Parameter key: The key.
    /// - Returns: A guard whose calls need a permit of the key.
    public func guarding(_ key: Key) -> some Guard {
        KeyGuard(bulkhead: self, key: key)
    }

    private struct KeyGuard: Guard {
        let bulkhead: KeyedBulkhead
        let key: Key

        func call<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
            try await bulkhead.withPermit(for: key, body)
        }
    }

    // MARK: Settings and figures

    /// What the bulkhead allows.
    public var settings: Settings { core.read { $0.settings } }

    /// Changes what the bulkhead allows; never waits.
    ///
    /// With larger limits, those who wait go on at once as far as there are permits, in their order. With smaller ones, calls
    /// under way go on. A new longest wait is for callers that come later, and a shorter queue turns away nobody who waits already.
    ///
    /// - Parameter settings: What it allows from now on.
    public func apply(_ settings: Settings) {
        core.apply(settings)
    }

    /// The figures of all keys together.
    ///
    /// - Returns: The figures, all of one moment; the limit is the total.
    public func snapshot() -> BulkheadSnapshot {
        core.read { [name, core] ledger in
            BulkheadSnapshot(
                name: name, limit: ledger.settings.total, inUse: ledger.inUse, waiting: ledger.waiting,
                rejected: core.rejected)
        }
    }

    /// The figures of one key.
    ///
    /// - Parameter key: The key.
    /// - Returns: How many calls of it are under way, and how many callers wait.
    public func figures(of key: Key) -> (inUse: Int, waiting: Int) {
        core.read { $0.figures(of: key) }
    }

    /// How many keys take up memory now: those with calls under way or callers that wait.
    public var keys: Int { core.read { $0.keys } }

    // MARK: Turning away

    private func turnAway(_ code: BulkheadError.Code, waited: Duration?) {
        core.countRejection()
        if Runtime.mayBeHeard { report(BulkheadRejected(bulkhead: name, code: code, waited: waited)) }
    }

    private func rejection(_ code: BulkheadError.Code, _ key: Key, waited: Duration?) -> BulkheadError {
        turnAway(code, waited: waited)
        let settings = settings
        let reason =
            switch code {
            case .totalFull: "all \(settings.total) permits of all keys together are taken"
            case .queueFull: "as many callers wait as may"
            case .waitTimedOut: "no permit came free within \(settings.longestWait ?? .zero)"
            case _ where settings.limit == 0 || settings.total == 0: "its limit is zero"
            default: "all \(settings.limit) permits of the key are taken"
            }
        return BulkheadError(
            code,
            "The bulkhead '\(name)' did not let a call of the key \(key) through: \(reason). "
                + "Try again later, or change its settings if what is behind it can take more.",
            bulkhead: name
        )
    }

    @inline(never)
    private func report(_ event: some InstrumentEvent) {
        (ownRuntime ?? .current).instrument?.record(event)
    }
}
