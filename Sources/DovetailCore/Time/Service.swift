// SPDX-License-Identifier: Apache-2.0

/// A part that runs until its task is cancelled, such as a consumer or a relay.
///
/// ```swift
/// struct PaymentService: Service {
///     let consumer: Consumer
///     func run() async throws { try await consumer.run() }
/// }
/// ```
public protocol Service: Sendable {
    /// Runs until the task is cancelled, then shuts down in order and returns.
    ///
    /// - Throws: What it cannot go on after. Cancellation is not an error: it returns, or throws `CancellationError`.
    func run() async throws
}
