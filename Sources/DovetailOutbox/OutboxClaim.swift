// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Rows of an outbox that one relay may publish.
public struct OutboxClaim: Sendable {
    /// The rows; those of a lane in their order.
    public var rows: [OutboxRow]

    /// Settles the rows.
    public var token: FencingToken

    /// When others may claim the rows, by the store's clock.
    public var expiry: Timestamp

    /// In how long a row that is not due now will be, if the store knows.
    public var nextDue: Duration?

    /// Creates a claim.
    ///
    /// - Parameters:
    ///   - rows: The rows; those of a lane in their order.
    ///   - token: Settles the rows.
    ///   - expiry: When others may claim the rows, by the store's clock.
    ///   - nextDue: In how long a row that is not due now will be, if the store knows.
    public init(rows: [OutboxRow], token: FencingToken, expiry: Timestamp, nextDue: Duration? = nil) {
        self.rows = rows
        self.token = token
        self.expiry = expiry
        self.nextDue = nextDue
    }
}

/// A message in an outbox.
public struct OutboxRow: Sendable, Identifiable {
    /// Names a row within its outbox.
    public struct ID: Sendable, Hashable, CustomStringConvertible {
        /// The number, given by the store.
        public let number: Int64

        /// Creates an identifier.
        ///
        /// - Parameter number: The number.
        @inlinable
        public init(number: Int64) {
            self.number = number
        }

        /// The number as text.
        public var description: String { String(number) }
    }

    /// Names the row.
    public let id: ID

    /// The message.
    public let envelope: Envelope<Bytes>

    /// How often publishing it has failed.
    public let attempts: Int

    /// Since when it could have been published, by the store's clock: the commit, or the time it was scheduled for.
    public let due: Timestamp

    /// Creates a row.
    ///
    /// - Parameters:
    ///   - id: Names the row.
    ///   - envelope: The message.
    ///   - attempts: How often publishing it has failed.
    ///   - due: Since when it could have been published, by the store's clock.
    public init(id: ID, envelope: Envelope<Bytes>, attempts: Int, due: Timestamp) {
        self.id = id
        self.envelope = envelope
        // Read from rows, which may hold any number; one is added to it.
        self.attempts = min(max(0, attempts), Int(Int32.max))
        self.due = due
    }
}

/// A row that could not be published.
public struct OutboxFailure: Sendable, Hashable {
    /// The row.
    public var id: OutboxRow.ID

    /// After how long it is to be tried again.
    ///
    /// A span, not a time, since the store's clock decides.
    public var retryAfter: Duration

    /// What went wrong, redacted.
    public var reason: String

    /// Creates a failure.
    ///
    /// - Parameters:
    ///   - id: The row.
    ///   - retryAfter: After how long it is to be tried again.
    ///   - reason: What went wrong, redacted.
    public init(id: OutboxRow.ID, retryAfter: Duration, reason: String) {
        self.id = id
        self.retryAfter = retryAfter
        self.reason = reason
    }
}

/// How an outbox stands.
public struct OutboxStatistics: Sendable, Hashable {
    /// How many messages have not been published yet, those scheduled for later included.
    ///
    /// A store that would have to count row by row may stop at ``mostCounted``.
    public var unsent: Int

    /// How long the oldest of them that is due has been waiting; `nil` if none is.
    public var oldestUnsent: Duration?

    /// How many were moved to the dead letters within the retention.
    public var parked: Int

    /// Where a store may stop counting.
    public static let mostCounted = 10_000

    /// Creates statistics.
    ///
    /// - Parameters:
    ///   - unsent: How many messages have not been published yet.
    ///   - oldestUnsent: How long the oldest of them that is due has been waiting.
    ///   - parked: How many were moved to the dead letters within the retention.
    public init(unsent: Int, oldestUnsent: Duration?, parked: Int) {
        self.unsent = unsent
        self.oldestUnsent = oldestUnsent
        self.parked = parked
    }
}
