// SPDX-License-Identifier: Apache-2.0

/// Guards around a call, in the order written: the first is the outermost.
///
/// The order to remember: each try passes the breaker, takes a permit and has its own time limit. <doc:Ordering-guards> tells
/// what becomes of others.
///
/// ```swift
/// let pricing = Guarded(by: .retry(.exponential(attempts: 3)), .timeout(.seconds(2)))
/// let quote = try await pricing.call { try await api.quote(sku) } fallback: { _ in .lastKnown(sku) }
/// ```
///
/// Written the other way round, the two seconds would be for all three tries together.
///
/// It is a guard itself, so that a set of guards that is used in many places can be one of several.
public struct Guarded: Guard {
    private let outermost: Link?

    /// Puts guards around calls.
    ///
    /// - Parameter guards: The guards, outermost first.
    public init<each G: Guard>(by guards: repeat each G) {
        var all: [any Guard] = []
        for one in repeat each guards { all.append(one) }
        outermost = all.reversed().reduce(nil) { inner, one in Link(one, around: inner) }
    }

    /// Makes a call through all guards.
    ///
    /// - Parameter body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What comes out of the outermost guard.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result {
        guard let outermost else { return try await body() }
        return try await outermost.call(body)
    }

    /// A guard and those inside it.
    ///
    /// By reference, so that a call on its way in carries one pointer and not a list.
    private final class Link: Sendable {
        private let one: any Guard
        private let inner: Link?

        init(_ one: any Guard, around inner: Link?) {
            self.one = one
            self.inner = inner
        }

        func call<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
            guard let inner else { return try await one.call(body) }
            return try await one.call { try await inner.call(body) }
        }
    }
}
