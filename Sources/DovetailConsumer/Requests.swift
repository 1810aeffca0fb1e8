// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// Sends commands and waits for their replies.
///
/// A service of its own, since it listens for replies as long as it runs. Each copy listens to a topic of its own; a reply finds
/// its request by the causation identifier, so any consumer can answer, with `On` or by itself.
///
/// ```swift
/// let requests = Requests(on: bus, as: "/checkout")
/// try await Services(requests, checkout).run()
///
/// // in the checkout:
/// let reserved = try await requests.ask(ReserveStock(sku: "book"), within: .seconds(2))
/// ```
///
/// A request and its answer are two messages: when no reply comes in time, the command may have been carried out all the same,
/// or may yet be. Ask only where the answer is needed to go on; where it is not, send the command and react to the event.
public final class Requests: Service {
    private struct State: Sendable {
        var topic: Topic?
        var isListening = false
        var asked: [MessageID: Answer] = [:]
        var askers = WaiterList()
    }

    private let transport: any Transport
    private let factory: EnvelopeFactory
    private let runtime: Runtime?
    private let monitor: Monitor<State>

    /// Creates a sender of requests.
    ///
    /// - Parameters:
    ///   - transport: Where commands go out and replies come in.
    ///   - source: The service that asks.
    ///   - topic: The topic to wait for replies in. It must be this copy's alone, so by default it has a new name each time; name
    ///     one if the transport does not make topics on demand.
    ///   - codec: Writes commands and reads replies.
    ///   - runtime: Where time and identifiers come from; the current task's if `nil`.
    public init(
        on transport: some Transport,
        as source: MessageSource = "/requests",
        repliesIn topic: Topic? = nil,
        codec: any PayloadCodec = JSONPayloadCodec(),
        runtime: Runtime? = nil
    ) {
        self.transport = transport
        self.runtime = runtime
        factory = EnvelopeFactory(source: source, codec: codec, runtime: runtime)
        monitor = Monitor(State(topic: topic))
    }

    // MARK: Asking

    /// Sends a command and waits for its reply.
    ///
    /// Waits for ``run()`` to listen first, if need be. When the task is cancelled while it waits, the reply is ignored once it
    /// comes.
    ///
    /// - Parameters:
    ///   - command: The command.
    ///   - limit: The longest wait, from the call to the reply. A transport that has not taken the command by then is told
    ///     to give up, so that the command may have been sent or not.
    ///   - options: What to set on its envelope.
    /// - Returns: The reply.
    /// - Throws: ``ConsumerError`` with ``ConsumerError/Code/noReplyInTime``, or with ``ConsumerError/Code/notRunning`` if nothing
    ///   listened for replies in that time; `TransportError` if the command was not sent; `MessageError` if the reply is not of
    ///   the command's type; `CancellationError`.
    public func ask<C: Command>(
        _ command: C, within limit: Duration, options: PublishOptions = PublishOptions()
    ) async throws -> C.Reply {
        let time = (runtime ?? .current).time
        let deadline = time.monotonic() + limit
        let topic = try await waitForListener(until: deadline, time: time)
        var envelope = try await factory.envelope(for: command, options: options)
        envelope.attributes.replyTo = topic
        let id = envelope.attributes.id
        let answer = Answer()
        monitor.withLock { $0.asked[id] = answer }
        defer { monitor.withLock { $0.asked[id] = nil } }
        try await send(envelope, awaiting: answer, until: deadline, time: time)
        guard let reply = answer.envelope.withLock({ $0 }) else {
            throw ConsumerError(
                .noReplyInTime,
                "No reply to '\(C.type)' came within \(limit). The command may have been sent and carried out all the "
                    + "same: find out before sending it again, or send it again under the same identifier '\(id)'.")
        }
        guard reply.attributes.type == C.Reply.type, reply.attributes.version.major == C.Reply.version.major else {
            throw MessageError(
                .undecodablePayload,
                "The reply to '\(C.type)' is a '\(reply.attributes.type)' of version \(reply.attributes.version), not a "
                    + "'\(C.Reply.type)' of version \(C.Reply.version). Check that sender and receiver agree on it.")
        }
        return try await factory.codec.decode(C.Reply.self, from: reply)
    }

    /// Publishes a command and waits for its reply, until the time for both is over.
    private func send(
        _ envelope: Envelope<Bytes>, awaiting answer: Answer, until deadline: MonotonicInstant, time: any TimeSource
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                if let error = try await self.transport.publish([envelope]).first?.error { throw error }
                (self.runtime ?? .current).instrument?.record(MessagePublished(envelope.attributes))
                try await answer.arrived.wait()
            }
            group.addTask { try await time.sleep(until: deadline) }
            defer { group.cancelAll() }
            try await group.next()
        }
    }

    private func waitForListener(until deadline: MonotonicInstant, time: any TimeSource) async throws -> Topic {
        // As a rule it listens already, and that must not cost a timer.
        if let topic = monitor.withLock({ $0.isListening ? $0.topic : nil }) { return topic }
        let topic = try await withThrowingTaskGroup(of: Topic?.self) { group -> Topic? in
            group.addTask {
                try await self.monitor.wait(in: \.askers) { $0.isListening ? $0.topic : nil }
            }
            group.addTask {
                try await time.sleep(until: deadline)
                return nil
            }
            defer { group.cancelAll() }
            return try await group.next() ?? nil
        }
        guard let topic else {
            throw ConsumerError(
                .notRunning,
                "Nothing listens for replies. Run the requests beside what uses them: `Services(requests, …).run()`.")
        }
        return topic
    }

    // MARK: Listening

    /// Listens for replies until the task is cancelled.
    ///
    /// - Throws: `TransportError` when the transport is gone for good.
    public func run() async throws {
        let runtime = runtime ?? .current
        // Made outside of the lock, since the clock and the random numbers may be anybody's.
        let made = monitor.withLock { $0.topic } ?? Topic("dovetail.replies.\(runtime.makeUUID())")
        let topic = monitor.withLock { state in
            let topic = state.topic ?? made
            state.topic = topic
            return topic
        }
        let subscription: any TransportSubscription
        do {
            subscription = try await persistently(runtime) {
                try await self.transport.subscribe(to: [topic], as: ConsumerGroup(topic.rawValue))
            }
        } catch is CancellationError {
            return
        }
        monitor.withLock { state in
            state.isListening = true
            return state.askers.wakeAll()
        }.resume()
        let failure = await listen(to: subscription, runtime: runtime)
        monitor.withLock { $0.isListening = false }
        await subscription.close()
        if let failure { throw failure }
    }

    /// - Returns: What it could not go on after, if that was not its cancellation.
    private func listen(to subscription: any TransportSubscription, runtime: Runtime) async -> (any Error)? {
        do {
            while true {
                let isOpen = try await persistently(runtime) {
                    let deliveries = try await subscription.next(atMost: 100)
                    if deliveries.isEmpty { return false }
                    for delivery in deliveries { self.take(delivery) }
                    try await subscription.settle(deliveries.map { .acknowledge($0.id) })
                    return true
                }
                if !isOpen { return nil }
            }
        } catch is CancellationError {
            return nil
        } catch {
            return error
        }
    }

    /// Keeps trying what the transport fails at in a way that may pass.
    private func persistently<Result: Sendable>(
        _ runtime: Runtime, _ body: () async throws -> Result
    ) async throws -> Result {
        var failures = 0
        while true {
            do {
                return try await body()
            } catch let error as TransportError where error.code.isTransient {
                failures += 1
                let delay = ExponentialBackoff.ofTrouble.delay(after: failures, random: runtime.random)
                try await runtime.time.sleep(for: delay)
            }
        }
    }

    private func take(_ delivery: Delivery) {
        guard let envelope = delivery.envelope, let request = envelope.attributes.causationID else { return }
        // Nobody waits for a reply that comes too late, or for a repeated one.
        guard let answer = monitor.withLock({ $0.asked.removeValue(forKey: request) }) else { return }
        answer.envelope.withLock { $0 = envelope }
        answer.arrived.notify()
    }
}

/// The place of one reply.
private final class Answer: Sendable {
    let envelope = Mutex<Envelope<Bytes>?>(nil)
    let arrived = WakeUp()
}
