// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// How an ``OutboxRelay`` works.
public struct OutboxRelaySettings: Sendable {
    /// The most messages that are claimed, published and settled together.
    public var batchSize: Int

    /// How many batches are under way at the same time; those of one key never are.
    public var concurrency: Int

    /// The longest time until a message is noticed when no wake-up comes.
    public var pollInterval: Duration

    /// After what time others may publish what this relay has claimed and not settled, because it may have ended.
    ///
    /// A relay that is only slow renews its claims.
    public var lease: Duration

    /// How often a message that the transport did not take is tried again, and after how long.
    ///
    /// The messages of its key wait meanwhile. Should be patient: when the transport is away for longer than all attempts
    /// together, the messages at the head of their keys go to the dead letters. What the transport will never take, such as a
    /// message that is too large, goes there at once.
    public var retry: any RetryPolicy

    /// How long batches that are under way at shutdown may take.
    ///
    /// What is not published by then is released. At most as long as the lease.
    public var grace: Duration

    /// Creates settings.
    ///
    /// - Parameters:
    ///   - batchSize: The most messages that are claimed, published and settled together; at least 1.
    ///   - concurrency: How many batches are under way at the same time; at least 1.
    ///   - pollInterval: The longest time until a message is noticed when no wake-up comes.
    ///   - lease: After what time others may publish what this relay has claimed and not settled.
    ///   - retry: How often a message that the transport did not take is tried again; by default for about half a day.
    ///   - grace: How long batches that are under way at shutdown may take.
    public init(
        batchSize: Int = 500,
        concurrency: Int = 4,
        pollInterval: Duration = .seconds(1),
        lease: Duration = .seconds(30),
        retry: any RetryPolicy = .exponential(
            from: .milliseconds(100), upTo: .seconds(300), jitter: .full, attempts: 300
        ),
        grace: Duration = .seconds(10)
    ) {
        self.batchSize = max(1, batchSize)
        self.concurrency = max(1, concurrency)
        self.pollInterval = max(.milliseconds(1), pollInterval)
        self.lease = max(.milliseconds(1), lease)
        self.retry = retry
        self.grace = max(.zero, min(grace, lease))
    }
}
