// SPDX-License-Identifier: Apache-2.0

/// Something that stands around a call: tries it again, limits its time, keeps it from being made.
///
/// A guard calls its body as often as it sees fit, or not at all. What the body throws passes through unless the guard has a
/// reason to throw something else. A guard is safe to use for many calls at once.
///
/// ```swift
/// struct Counting: Guard {
///     let counter: Counter
///     func call<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result {
///         counter.increment()
///         return try await body()
///     }
/// }
/// ```
public protocol Guard: Sendable {
    /// Makes a call.
    ///
    /// - Parameter body: The call. It may run in a child task.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; `CancellationError` if the one who asked was cancelled; the guard's own error.
    func call<Result: Sendable>(_ body: @escaping @Sendable () async throws -> Result) async throws -> Result
}
