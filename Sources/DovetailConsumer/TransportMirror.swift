// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Moves messages from one transport to another, as they are.
///
/// Identity, source, key, trace, headers and payload stay the same, so that a reader of both sides sees one message twice, and drops
/// the second. For a move from one broker to another while services go over one by one, or for a broker at another place.
///
/// ```swift
/// let mirror = TransportMirror(["shop.orders"], from: rabbit, to: kafka, as: "rabbit-to-kafka")
///     .deadLettering(to: letters)
/// try await Services(mirror).run()
/// ```
///
/// - **At least once**: a message is acknowledged at its source once the target has it. After a crash some come twice.
/// - **Order per key**, where both transports keep it: a batch is taken once the one before it is done, and what follows a message that
///   failed is published again behind it. Run as many copies as you like, as members of one group.
/// - **Nothing is dropped**: while the target cannot be reached, messages stay at the source. What the target can never take, such as a
///   message that is too large, and bytes that are no message, go to the dead letters, or are rejected where the source
///   keeps what is rejected. If neither keeps them, the mirror refuses to start.
///
/// Two mirrors that carry a topic there and back again never come to an end: carry each topic one way.
public struct TransportMirror: Service {
    /// The topics it reads.
    public let topics: [Topic]

    /// The group as which it reads them.
    public let group: ConsumerGroup

    let source: any Transport
    let target: any Transport
    var settings = MirrorSettings()

    /// Creates a mirror.
    ///
    /// - Parameters:
    ///   - topics: The topics to move.
    ///   - source: Where they are read.
    ///   - target: Where they are published, under the same names unless ``renaming(_:)`` says otherwise.
    ///   - group: The group as which they are read. Keep it: a new one starts with the oldest message.
    public init(_ topics: [Topic], from source: some Transport, to target: some Transport, as group: ConsumerGroup) {
        self.topics = topics
        self.source = source
        self.target = target
        self.group = group
    }

    /// Sets what the topics are called at the target.
    ///
    /// - Parameter name: The name of a topic at the target.
    /// - Returns: The changed mirror.
    public func renaming(_ name: @escaping @Sendable (Topic) -> Topic) -> TransportMirror {
        with { $0.rename = name }
    }

    /// Sets where messages are kept that the target can never take.
    ///
    /// A message is acknowledged at its source only after its letter was captured.
    ///
    /// - Parameter sink: Where to keep them.
    /// - Returns: The changed mirror.
    public func deadLettering(to sink: some DeadLetterSink) -> TransportMirror {
        with { $0.sink = sink }
    }

    /// Sets how many messages are moved at once; 256 unless set.
    ///
    /// - Parameter count: How many; at least 1.
    /// - Returns: The changed mirror.
    public func batches(of count: Int) -> TransportMirror {
        with { $0.batch = max(1, count) }
    }

    /// Sets where time and chance come from and who hears of events; the runtime of the task that runs it unless set.
    ///
    /// - Parameter runtime: The runtime.
    /// - Returns: The changed mirror.
    public func runtime(_ runtime: Runtime) -> TransportMirror {
        with { $0.runtime = runtime }
    }

    private func with(_ change: (inout MirrorSettings) -> Void) -> TransportMirror {
        var copy = self
        change(&copy.settings)
        return copy
    }

    /// Moves messages until the task is cancelled, then shuts down in order and returns.
    ///
    /// At shutdown nothing more is taken. What is under way to the target is waited for; what did not get there goes back to
    /// the source. What is transient is tried again, with waits of up to ten seconds.
    ///
    /// - Throws: ``ConsumerError`` with ``ConsumerError/Code/invalidName`` if the group has an empty name, with
    ///   ``ConsumerError/Code/noDeadLetters`` if what the target cannot take would be kept nowhere; `TransportError` when a transport is
    ///   gone for good or refuses, and then nothing of what it did not take was acknowledged.
    public func run() async throws {
        guard !group.rawValue.isEmpty else {
            throw ConsumerError(
                .invalidName,
                "The group of a mirror has an empty name. Give it one and keep it for the life of the mirror.")
        }
        guard settings.sink != nil || source.capabilities.keepsRejected else {
            throw ConsumerError(
                .noDeadLetters,
                "The mirror '\(group)' has nowhere to keep what its target cannot take, and its source does not keep "
                    + "what is rejected. Add `.deadLettering(to:)`.")
        }
        let runtime = settings.runtime ?? .current
        try await Runtime.$current.withValue(runtime) {
            let run = MirrorRun(self, runtime: runtime)
            try await withCancellationShield {
                try await run.run()
            } onCancel: {
                run.stop()
            }
        }
    }
}

/// What a mirror was told.
struct MirrorSettings: Sendable {
    var rename: @Sendable (Topic) -> Topic = { $0 }
    var sink: (any DeadLetterSink)?
    var batch = 256
    var runtime: Runtime?
}
