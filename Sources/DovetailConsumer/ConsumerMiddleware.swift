// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Stands around the handlers of a ``Consumer``: sees every message before, and its outcome after.
///
/// The first in the list is outermost. It runs once for each attempt. What it throws counts as the handler's failure, and not
/// calling `next` means that the message counts as handled without a handler.
///
/// ```swift
/// struct OnlyOwnTenant: ConsumerMiddleware {
///     func handle(
///         _ envelope: Envelope<Bytes>, context: MessageContext,
///         next: (Envelope<Bytes>, MessageContext) async throws -> Void
///     ) async throws {
///         if envelope.tenant == "acme" { try await next(envelope, context) }
///     }
/// }
/// ```
public protocol ConsumerMiddleware: Sendable {
    /// Passes a message on, or does not.
    ///
    /// - Parameters:
    ///   - envelope: The message; another one may be passed on.
    ///   - context: What the handler may know about the delivery.
    ///   - next: The rest of the list, and at its end the handler. Call it once at most.
    /// - Throws: What says that the message was not handled.
    func handle(
        _ envelope: Envelope<Bytes>,
        context: MessageContext,
        next: (Envelope<Bytes>, MessageContext) async throws -> Void
    ) async throws
}
