// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A value that a call returned and that counts as a failure, on its way out through the guards.
///
/// Guards see errors only. Where a value stands for a failure, such as the answer 503 of a server, it travels as this error,
/// see ``Guard/call(_:failing:)``; the one who called gets the value back.
public struct FailedResult: Error, ClassifiedError, RetryAfterProviding {
    /// What the call returned.
    public let value: any Sendable

    /// The error it stands for.
    public let reason: any Error

    /// Creates the error.
    ///
    /// - Parameters:
    ///   - value: What the call returned.
    ///   - reason: The error it stands for.
    public init(_ value: any Sendable, standingFor reason: any Error) {
        self.value = value
        self.reason = reason
    }

    /// The error that a guard has to judge.
    ///
    /// - Parameter error: What a call threw.
    /// - Returns: The error that a value stands for; the error itself if no value was returned.
    package static func reason(behind error: any Error) -> any Error {
        (error as? FailedResult)?.reason ?? error
    }

    /// What the reason means for a retry.
    public var failureClass: FailureClass { FailureClassifier().classify(reason) }

    /// What the reason says.
    public var deadLetterReason: DeadLetterReason? { (reason as? any ClassifiedError)?.deadLetterReason }

    /// What the reason says.
    public var retryAfter: Duration? { (reason as? any RetryAfterProviding)?.retryAfter }
}

extension Guard {
    /// Makes a call of which some results count as failures.
    ///
    /// The guards treat such a result as the error it stands for: it is tried again, and counted. When they give up, the one
    /// who called gets the result all the same, as an unguarded call would have returned it.
    ///
    /// ```swift
    /// let response = try await guarded.call {
    ///     try await http.get(url)
    /// } failing: { response in
    ///     response.status == 503 ? Unavailable(retryAfter: response.retryAfter) : nil
    /// }
    /// ```
    ///
    /// - Parameters:
    ///   - body: The call.
    ///   - failure: The error that a result stands for; `nil` for a success.
    /// - Returns: What the call returned at last, success or not.
    /// - Throws: What comes out of the guard otherwise.
    public func call<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result,
        failing failure: @escaping @Sendable (Result) -> (any Error)?
    ) async throws -> Result {
        do {
            return try await call { () async throws -> Result in
                let result = try await body()
                if let reason = failure(result) { throw FailedResult(result, standingFor: reason) }
                return result
            }
        } catch let failed as FailedResult {
            guard let result = failed.value as? Result else { throw failed }
            return result
        }
    }
}
