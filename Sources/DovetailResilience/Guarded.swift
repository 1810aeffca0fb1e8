// SPDX-License-Identifier: Apache-2.0

/// Guards around a call, in the order written: the first is the outermost.
///
/// The order to remember: each try passes the breaker, takes a permit and has its own time limit.
///
/// ```swift
/// let pricing = Guarded(by: .retry(.exponential(attempts: 3)), .timeout(.seconds(2)))
/// let quote = try await pricing.call { try await api.quote(sku) } fallback: { _ in .lastKnown(sku) }
/// ```
///
/// Written the other way round, the two seconds would be for all three tries together.
public struct Guarded: Guard {
    private let guards: [any Guard]

    /// Puts guards around calls.
    ///
    /// - Parameter guards: The guards, outermost first.
    public init<each G: Guard>(by guards: repeat each G) {
        var all: [any Guard] = []
        for one in repeat each guards { all.append(one) }
        self.guards = all
    }

    /// Makes a call through all guards.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What comes out of the outermost guard.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        try await Self.call(body, through: guards[...])
    }

    /// Makes a call through all guards, with something else to return when it fails.
    ///
    /// - Parameters:
    ///   - body: The call.
    ///   - fallback: Given what came out of the outermost guard. Not asked when the one who called was cancelled.
    /// - Returns: What the call returned, or else what the fallback returned.
    /// - Throws: What the fallback throws; `CancellationError` if the one who called was cancelled.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result,
        fallback: (any Error) async throws -> Result
    ) async throws -> Result {
        do {
            return try await call(body)
        } catch let error as CancellationError where Task.isCancelled {
            throw error
        } catch {
            return try await fallback(error)
        }
    }

    private static func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result, through guards: ArraySlice<any Guard>
    ) async throws -> Result {
        guard let outermost = guards.first else { return try await body() }
        let inner = guards.dropFirst()
        guard !inner.isEmpty else { return try await outermost.call(body) }
        return try await outermost.call { try await call(body, through: inner) }
    }
}
