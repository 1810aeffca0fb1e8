// SPDX-License-Identifier: Apache-2.0

public import DovetailConsumer
public import DovetailCore

/// Does the redrives that were asked for: publishes the messages of dead letters again, and takes out the letters that have left.
///
/// ```swift
/// let letters = DeadLetterQueue(in: database)
/// try await Services(payments, Redriver(letters, to: bus)).run()
/// // elsewhere
/// try await letters.redrive(RedriveRequest(DeadLetterFilter(reason: .timeoutOrNetwork), canary: 5, lettersPerSecond: 50))
/// ```
///
/// A message keeps its identity. A letter is removed after its publication was confirmed, never before: when a process is killed in
/// between, the redrive goes on elsewhere after its lease and publishes that batch again, under the same identities. Messages of one
/// key are published in the order in which they became dead letters. A message whose letter holds no message, or that the transport
/// will never take, is passed over and its letter stays.
///
/// Any number of redrivers may run; one works on a redrive at a time.
public struct Redriver<DB: DeadLetterDatabase & TableDatabase, T: Transport>: Service {
    private let queue: DeadLetterQueue<DB>
    private let transport: T
    private var settings = RedriverSettings()
    private var rooms: RoomReturn<DB>?
    private var ownRuntime: Runtime?

    /// Creates a redriver.
    ///
    /// - Parameters:
    ///   - queue: The letters.
    ///   - transport: Where to publish.
    public init(_ queue: DeadLetterQueue<DB>, to transport: T) {
        self.queue = queue
        self.transport = transport
    }

    // MARK: What can be set

    /// Sets how often a publication that fails is tried again, and after how long, before the redrive stops.
    ///
    /// Ten attempts within about four minutes unless set.
    ///
    /// - Parameter policy: The policy.
    /// - Returns: The changed redriver.
    public func retrying(_ policy: some RetryPolicy) -> Redriver {
        with { $0.settings.retry = policy }
    }

    /// Sets how redrives are found and held.
    ///
    /// - Parameters:
    ///   - interval: How often to look for redrives; 5 seconds unless set.
    ///   - lease: How long a redrive waits for a process that ended without a word; 30 seconds unless set.
    /// - Returns: The changed redriver.
    public func looking(every interval: Duration = .seconds(5), lease: Duration = .seconds(30)) -> Redriver {
        with {
            $0.settings.interval = max(.milliseconds(1), interval)
            $0.settings.lease = max(.milliseconds(10), lease)
        }
    }

    /// Sets where time and identifiers come from; the current task's runtime unless set.
    ///
    /// - Parameter runtime: The runtime.
    /// - Returns: The changed redriver.
    public func runtime(_ runtime: Runtime) -> Redriver {
        with { $0.ownRuntime = runtime }
    }

    private func with(_ change: (inout Redriver) -> Void) -> Redriver {
        var copy = self
        change(&copy)
        return copy
    }

    // MARK: Running

    /// Does redrives as they are asked for, until the task is cancelled.
    public func run() async throws {
        let runtime = ownRuntime ?? .current
        await Runtime.$current.withValue(runtime) {
            while !Task.isCancelled {
                do {
                    while let id = try await nextJob(at: runtime.time.now()) {
                        _ = try await RedriveRun(
                            queue: queue, transport: transport, settings: settings, rooms: rooms, runtime: runtime
                        ).run(id)
                    }
                } catch let error as DeadLetterError where error.code == .redriveClaimed {
                    continue
                } catch {
                    if Task.isCancelled { return }
                    let text = FailureDetail(error, of: nil, runtime: runtime).inFlight.message
                    runtime.instrument?.record(RedriveFailed(job: "", operation: "look for redrives", error: text))
                }
                guard (try? await runtime.time.sleep(for: settings.interval)) != nil else { return }
            }
        }
    }

    private func nextJob(at now: Timestamp) async throws -> String? {
        try await queue.database.withReadTransaction { tx in
            try await queue.allJobs(in: tx).first { $0.row.isFree(at: now) }?.key
        }
    }

    /// Does one redrive now, until it has ended, stopped or been cancelled.
    ///
    /// - Parameters:
    ///   - id: The redrive.
    ///   - progress: Is told how far it is, after each batch.
    /// - Returns: The redrive as it is then.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/noSuchRedrive``, or ``DeadLetterError/Code/redriveClaimed`` if another
    ///   process works on it; `DatabaseError`; `CancellationError`, and then the redrive can go on at once elsewhere.
    @discardableResult
    public func run(
        _ id: String, progress: @escaping @Sendable (RedriveJob) -> Void = { _ in }
    ) async throws -> RedriveJob {
        let runtime = ownRuntime ?? .current
        return try await Runtime.$current.withValue(runtime) {
            try await RedriveRun(
                queue: queue, transport: transport, settings: settings, rooms: rooms, runtime: runtime,
                progress: progress
            ).run(id)
        }
    }

    // MARK: Editing

    /// Sends a new message that a person made from a dead letter, and takes the letter out.
    ///
    /// The new message has an identity of its own, that of the old one as its cause, and belongs to the same conversation. The
    /// identity follows from the letter and from what was written, so that the same edit made twice, as after a crash, is the same
    /// message.
    ///
    /// - Parameters:
    ///   - id: The letter.
    ///   - note: What was changed and why, and who says so; redacted.
    ///   - edit: Changes the message. Of bytes that are no message it is given an empty one with these bytes, and has to give it a
    ///     type.
    /// - Returns: The identity of the new message.
    /// - Throws: ``DeadLetterError`` with ``DeadLetterError/Code/noSuchLetter``, ``DeadLetterError/Code/notRedrivable`` if there is
    ///   still no message, or ``DeadLetterError/Code/publishFailed``, and the letter stays; what `edit` throws; `DatabaseError`.
    @discardableResult
    public func resend(
        _ id: String, note: String, edit: (inout Envelope<Bytes>) throws -> Void
    ) async throws -> MessageID {
        let runtime = ownRuntime ?? .current
        guard let letter = try await queue.letter(id) else {
            throw DeadLetterError(
                .noSuchLetter, "There is no dead letter '\(id)'. It may have been redriven or discarded.")
        }
        let envelope = try edited(letter, by: edit, at: runtime.time.now())
        let result = try await transport.publish([envelope]).first
        guard case .published? = result else {
            throw DeadLetterError(
                .publishFailed, "The edited message was not taken. The dead letter is where it was; try again.",
                cause: result?.error)
        }
        let words = note.isEmpty ? "" : ": " + runtime.redacted(note, of: envelope.attributes.type)
        let removal = DeadLetterRemoval(.edited, at: runtime.time.now(), note: "as \(envelope.attributes.id)\(words)")
        _ = try await queue.database.withTransaction { tx in
            try await queue.database.deadLetterStore.remove([id], removal, in: tx)
        }
        runtime.instrument?.record(MessageRedriven(envelope.attributes, letter: id, job: nil))
        return envelope.attributes.id
    }

    private func edited(
        _ letter: DeadLetter, by edit: (inout Envelope<Bytes>) throws -> Void, at now: Timestamp
    ) throws -> Envelope<Bytes> {
        let blank = EnvelopeAttributes(id: "", source: "/dead-letters", type: "", topic: letter.topic)
        let old = letter.envelope
        var envelope = old ?? Envelope(blank, payload: letter.payload)
        envelope.attributes.topic = letter.topic
        try edit(&envelope)
        guard !envelope.attributes.type.rawValue.isEmpty else {
            throw DeadLetterError(
                .notRedrivable,
                "The dead letter '\(letter.id)' holds bytes that are no message. Give it a type when it is edited.")
        }
        envelope.attributes.id = MessageID(
            DeterministicID.make(
                namespace: "dovetail.dead-letter.edited",
                [letter.id, envelope.attributes.type.rawValue, SHA256.hash(envelope.payload).hex]))
        envelope.attributes.time = now
        if let old {
            envelope.attributes.causationID = old.attributes.id
            envelope.attributes.correlationID =
                old.attributes.correlationID ?? CorrelationID(old.attributes.id.rawValue)
        }
        RedriveHeaders.mark(
            &envelope.attributes.headers, from: letter, mostBytes: transport.capabilities.mostHeaderBytes)
        return envelope
    }
}

extension Redriver where DB: WaitingRoomDatabase {
    /// Sends the messages of some consumers back through the waiting room of this database, rather than through the transport.
    ///
    /// For consumers that keep the order of their keys: the message goes to the front of its lane, before those that were parked
    /// behind it, which go on after it. It reaches that consumer alone, and no other reader of the topic. Messages without a key are
    /// published.
    ///
    /// - Parameter consumers: The consumers, which wait in this database.
    /// - Returns: The changed redriver.
    public func throughWaitingRoom(of consumers: String...) -> Redriver {
        let (rooms, names) = (queue.database.waitingRoomStore, Set(consumers))
        return with {
            $0.rooms = RoomReturn(consumers: names) { entries, tx in
                guard let first = entries.first else { return }
                try await rooms.release(first.lane, for: first.consumer, restoring: entries, in: tx)
            }
        }
    }
}

/// How a redriver is set.
struct RedriverSettings: Sendable {
    var retry: any RetryPolicy = .exponential(from: .seconds(1), upTo: .seconds(60), attempts: 10)
    var interval: Duration = .seconds(5)
    var lease: Duration = .seconds(30)
}

/// Brings messages back into the waiting rooms of some consumers.
struct RoomReturn<DB: Database>: Sendable {
    let consumers: Set<String>
    /// Is given messages of one lane, in their order.
    let restore: @Sendable ([WaitingEntry], DB.Transaction) async throws -> Void

    func takes(_ letter: DeadLetter) -> Bool {
        consumers.contains(letter.consumer) && letter.envelope?.attributes.partitionKey != nil
    }
}
