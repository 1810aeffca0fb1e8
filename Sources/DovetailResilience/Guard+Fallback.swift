// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension Guard {
    /// Makes a call, with something else to return when it fails.
    ///
    /// ```swift
    /// let quote = try await pricing.call {
    ///     try await api.quote(sku)
    /// } when: { error in
    ///     !(error is UnknownSKU)
    /// } fallback: { _ in
    ///     try await cache.call { try await store.lastKnown(sku) } fallback: { _ in .unknown }
    /// }
    /// ```
    ///
    /// A fallback stands outside all guards, whatever they are, and may be a guarded call with a fallback of its own. It is for
    /// what the caller can do without: a price from yesterday, an empty list of suggestions. Do not use one
    ///
    /// - for a call that changes something: that it failed does not mean that nothing happened, and an answer that says
    ///   otherwise hides an order that was lost or done twice;
    /// - where the other way is used only when things are bad already: it is then the least tested and the most loaded one.
    ///
    /// - Parameters:
    ///   - body: The call.
    ///   - isCovered: Which errors the fallback is for; all of them unless given.
    ///   - fallback: Given what came out of the guard. Not asked once the one who called was cancelled, whatever the error:
    ///     nobody waits for an answer then.
    /// - Returns: What the call returned, or else what the fallback returned.
    /// - Throws: What the fallback throws; what came out of the guard if that is not covered or the one who called was
    ///   cancelled.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result,
        when isCovered: (any Error) -> Bool = { _ in true },
        fallback: (any Error) async throws -> Result
    ) async throws -> Result {
        do {
            return try await call(body)
        } catch {
            guard !Task.isCancelled, isCovered(error) else { throw error }
            Runtime.current.instrument?.record(CallFellBack(error: String(describing: type(of: error))))
            return try await fallback(error)
        }
    }
}
