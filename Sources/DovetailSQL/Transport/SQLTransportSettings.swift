// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// How a ``SQLTransport`` works.
public struct SQLTransportSettings: Sendable {
    /// After what time a message that was handed out and not settled goes to another member, because the first may have ended.
    ///
    /// Must exceed the longest time that a member holds on to a message. A member that goes on asking for messages or settling
    /// some keeps what it has.
    public var lease: Duration

    /// The longest time until a message is noticed that another program has published.
    public var pollInterval: Duration

    /// How long messages are kept after they were published, for groups that join later; seven days unless set.
    public var retention: Duration

    /// The largest message it takes, in bytes of payload and attributes together.
    public var mostMessageBytes: Int

    /// Where time and identifiers come from; the current task's if `nil`.
    public var runtime: Runtime?

    /// Creates settings.
    ///
    /// - Parameters:
    ///   - lease: After what time a message that was handed out and not settled goes to another member.
    ///   - pollInterval: The longest time until a message is noticed that another program has published.
    ///   - retention: How long messages are kept after they were published.
    ///   - mostMessageBytes: The largest message it takes, in bytes of payload and attributes together.
    ///   - runtime: Where time and identifiers come from; the current task's if `nil`.
    public init(
        lease: Duration = .seconds(60),
        pollInterval: Duration = .milliseconds(100),
        retention: Duration = .seconds(7 * 24 * 60 * 60),
        mostMessageBytes: Int = 16 << 20,
        runtime: Runtime? = nil
    ) {
        self.lease = max(.milliseconds(10), lease)
        self.pollInterval = max(.milliseconds(1), pollInterval)
        self.retention = max(.zero, retention)
        self.mostMessageBytes = max(0, mostMessageBytes)
        self.runtime = runtime
    }
}

/// Has a ``SQLTransport`` forget messages that every group has read.
///
/// ```swift
/// try await Services(payments, bus.sweeper).run()
/// ```
public struct SQLTransportSweeper<Pool: SQLConnectionPool>: Service {
    private let transport: SQLTransport<Pool>
    private let period: Duration
    private let batchSize: Int

    /// Creates a sweeper.
    ///
    /// - Parameters:
    ///   - transport: The transport.
    ///   - period: The time between two rounds.
    ///   - batchSize: How many messages are forgotten in one transaction, so that it stays short.
    public init(_ transport: SQLTransport<Pool>, period: Duration = .seconds(60), batchSize: Int = 5000) {
        self.transport = transport
        self.period = period
        self.batchSize = batchSize
    }

    /// Sweeps until the task is cancelled.
    public func run() async throws {
        let settings = transport.settings
        let loop = SweepLoop(
            store: "bus", period: period, batchSize: batchSize, runtime: settings.runtime ?? .current
        )
        await loop.run { limit in try await transport.sweep(olderThan: settings.retention, limit: limit) }
    }
}
