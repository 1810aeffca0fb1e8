// SPDX-License-Identifier: Apache-2.0

/// A transport that can say how far a group is behind.
///
/// ```swift
/// let behind = try await transport.backlog(of: "payments", on: ["shop.order.placed"])
/// if behind > 10_000 { print("payments cannot keep up") }
/// ```
public protocol BacklogReportingTransport: Transport {
    /// Counts the messages that a group has not settled, those in the hands of its members included.
    ///
    /// The figure is of the moment, and may be that of a moment ago.
    ///
    /// - Parameters:
    ///   - group: The group.
    ///   - topics: The topics it reads.
    /// - Returns: How many messages; all that it would read if the group never read the topics: those that are kept, which are
    ///   none on a transport that keeps messages only for groups that are there.
    /// - Throws: ``TransportError``.
    func backlog(of group: ConsumerGroup, on topics: [Topic]) async throws -> Int
}
