// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// How a ``SagaEngine`` works.
public struct SagaEngineSettings: Sendable {
    /// How many sagas are run at the same time.
    public var concurrency: Int

    /// The longest time until a saga is noticed that others made due, or a message for one that waits beside a body
    /// that runs, when no wake-up comes.
    public var pollInterval: Duration

    /// After what time others may take over what this engine has in hand, because it may have ended.
    ///
    /// An engine that is only slow renews its claims. One that was cut off for longer finds its late writes refused.
    public var lease: Duration

    /// How often a saga may be taken over in the middle of the same step before it is parked.
    ///
    /// A step that ends the program would otherwise do so for ever.
    public var mostTakeovers: Int

    /// How long a message is kept that no saga waits for yet.
    public var messageRetention: Duration

    /// For how long the keys of messages are remembered, so that a repeat does nothing.
    ///
    /// Must exceed the longest time after which a message may come again.
    public var deduplicationRetention: Duration

    /// Where the replies to commands come in; a topic named like the engine if `nil`.
    public var replies: Topic?

    /// How long steps that run at shutdown may go on.
    public var grace: Duration

    /// Creates settings.
    ///
    /// - Parameters:
    ///   - concurrency: How many sagas are run at the same time; at least 1.
    ///   - pollInterval: The longest time until a saga is noticed when no wake-up comes.
    ///   - lease: After what time others may take over what this engine has in hand.
    ///   - mostTakeovers: How often a saga may be taken over in the middle of the same step before it is parked.
    ///   - messageRetention: How long a message is kept that no saga waits for yet; a day unless set.
    ///   - deduplicationRetention: For how long the keys of messages are remembered; eight days unless set.
    ///   - replies: Where the replies to commands come in.
    ///   - grace: How long steps that run at shutdown may go on.
    public init(
        concurrency: Int = 64,
        pollInterval: Duration = .seconds(1),
        lease: Duration = .seconds(30),
        mostTakeovers: Int = 10,
        messageRetention: Duration = .seconds(24 * 60 * 60),
        deduplicationRetention: Duration = .seconds(8 * 24 * 60 * 60),
        replies: Topic? = nil,
        grace: Duration = .seconds(10)
    ) {
        self.concurrency = max(1, concurrency)
        self.pollInterval = max(.milliseconds(1), pollInterval)
        self.lease = max(.milliseconds(10), lease)
        self.mostTakeovers = max(1, mostTakeovers)
        self.messageRetention = messageRetention
        self.deduplicationRetention = deduplicationRetention
        self.replies = replies
        self.grace = max(.zero, grace)
    }
}
