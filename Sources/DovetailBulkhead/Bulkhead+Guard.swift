// SPDX-License-Identifier: Apache-2.0

public import DovetailResilience

extension Bulkhead: Guard {
    /// Makes a call with a permit, and waits for one if the settings allow it.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``BulkheadError`` if it was not made; `CancellationError` if the task was cancelled before
    ///   the call was made.
    @inlinable
    @inline(__always)
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try Task.checkCancellation()
        if !core.take() { try await takeSlowly() }
        defer { core.give() }
        return try await body()
    }

    /// Makes a call with a permit, and waits for one if the settings allow it.
    ///
    /// Like ``call(_:)``, for a body that need not be able to run elsewhere: it may use what is not `Sendable`.
    ///
    /// ```swift
    /// let quote = try await pricing.withPermit { try await api.quote(sku) }
    /// ```
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``BulkheadError`` if it was not made; `CancellationError` if the task was cancelled before
    ///   the call was made.
    @inlinable
    @inline(__always)
    public func withPermit<Result>(_ body: () async throws -> Result) async throws -> Result {
        try Task.checkCancellation()
        if !core.take() { try await takeSlowly() }
        defer { core.give() }
        return try await body()
    }

    /// Makes a call if a permit is free now; never waits for one.
    ///
    /// ```swift
    /// let report = try await reports.tryWithPermit { try await render() }
    /// ```
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``BulkheadError`` with ``BulkheadError/Code/full`` if no permit was free.
    @inlinable
    @inline(__always)
    public func tryWithPermit<Result>(_ body: () async throws -> Result) async throws -> Result {
        if !core.take() { throw fullError() }
        defer { core.give() }
        return try await body()
    }

    @usableFromInline
    @inline(never)
    func fullError() -> BulkheadError {
        let reached = core.limitThatIsReached.map { Settings(limit: $0) }
        return rejection(.full, reached ?? settings, waited: nil)
    }
}
