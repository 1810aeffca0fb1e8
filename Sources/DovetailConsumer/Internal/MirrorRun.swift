// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// One run of a ``TransportMirror``, from subscribing to leaving the group.
///
/// A batch is taken, published until each of its messages is done with, and settled; then comes the next. So the order of each key
/// needs no care of its own.
final class MirrorRun: Sendable {
    private let mirror: TransportMirror
    private let runtime: Runtime
    private let end = Monitor(End())

    private struct End: Sendable {
        var isStopping = false
        var waiters = WaiterList()
    }

    /// A message of the batch that is not done with.
    private struct Item: Sendable {
        let delivery: Delivery
        let envelope: Envelope<Bytes>
    }

    private var group: ConsumerGroup { mirror.group }
    private var isStopping: Bool { end.withLock { $0.isStopping } }

    init(_ mirror: TransportMirror, runtime: Runtime) {
        self.mirror = mirror
        self.runtime = runtime
    }

    /// Takes no more; what is under way to the target is waited for.
    func stop() {
        end.withLock { end in
            end.isStopping = true
            return end.waiters.wakeAll()
        }.resume()
    }

    func run() async throws {
        try await run(from: mirror.source)
    }

    private func run(from source: some Transport) async throws {
        let subscribed = try await persistently("subscribe") {
            try await source.subscribe(to: self.mirror.topics, as: self.group)
        }
        guard let subscription = subscribed else { return }
        do {
            while let batch = try await next(from: subscription), !batch.isEmpty {
                try await move(batch, from: subscription)
            }
        } catch {
            await subscription.close()
            throw error
        }
        await subscription.close()
    }

    /// - Returns: `nil` if the mirror is to stop.
    private func next(from subscription: some TransportSubscription) async throws -> [Delivery]? {
        try await persistently("receive") { try await subscription.next(atMost: self.mirror.settings.batch) }
    }

    // MARK: Moving

    private func move(_ batch: [Delivery], from subscription: some TransportSubscription) async throws {
        var settlements: [Settlement] = []
        var left: [Item] = []
        for delivery in batch {
            switch delivery.content {
            case .envelope(var envelope):
                envelope.attributes.topic = mirror.settings.rename(envelope.attributes.topic)
                left.append(Item(delivery: delivery, envelope: envelope))
            case .undecodable(_, _, let error):
                settlements.append(await bury(delivery, .schemaMismatch, error))
            }
        }
        var failures = 0
        var fatal: (any Error)?
        while !left.isEmpty, fatal == nil {
            let outcome = await publish(left)
            settlements += outcome.settlements
            left = outcome.left
            fatal = outcome.fatal
            if outcome.settlements.isEmpty { failures += 1 } else { failures = 0 }
            if left.isEmpty || fatal != nil { break }
            guard await pause(after: max(1, failures)) else { break }
        }
        // In their order, so that they are in it again at the source.
        settlements += left.map { .release($0.delivery.id) }
        try await settle(settlements, on: subscription)
        if let fatal { throw fatal }
    }

    private struct Outcome {
        var settlements: [Settlement] = []
        var left: [Item] = []
        /// Why it makes no sense to go on.
        var fatal: (any Error)?
    }

    /// Publishes messages once.
    private func publish(_ items: [Item]) async -> Outcome {
        var outcome = Outcome()
        let results: [PublishResult]
        do {
            results = try await mirror.target.publish(items.map(\.envelope))
        } catch {
            report(error, during: "publish")
            return Outcome(left: items, fatal: ConsumerRun.mayPass(error) ? nil : error)
        }
        var reported: TransportError?
        for (item, result) in zip(items, results) {
            guard let error = result.error else {
                runtime.instrument?.record(MessageMirrored(item.envelope.attributes, group: group))
                outcome.settlements.append(.acknowledge(item.delivery.id))
                continue
            }
            if Self.isOfMessage(error.code) {
                let reason: DeadLetterReason = error.code == .invalidMessage ? .schemaMismatch : .tooLarge
                outcome.settlements.append(await bury(item.delivery, reason, error))
                continue
            }
            outcome.left.append(item)
            if error.code == .notAttempted { continue }
            reported = reported ?? error
            if !error.code.isTransient { outcome.fatal = error }
        }
        if let reported { report(reported, during: "publish") }
        return outcome
    }

    /// Whether another message could be published where this one cannot.
    private static func isOfMessage(_ code: TransportError.Code) -> Bool {
        [.messageTooLarge, .headersTooLarge, .invalidMessage].contains(code)
    }

    /// Keeps what the target can never take.
    ///
    /// - Returns: How it is settled: it comes again if it could not be kept.
    private func bury(_ delivery: Delivery, _ reason: DeadLetterReason, _ error: any Error) async -> Settlement {
        let failure = FailureDetail(error, of: delivery.envelope?.attributes.type, runtime: runtime)
        let letter = DeadLetter(
            id: DeadLetter.makeID(
                of: delivery.content, topic: delivery.topic, position: delivery.position, consumer: group.rawValue),
            content: delivery.content, topic: delivery.topic, position: delivery.position, consumer: group.rawValue,
            attempts: 1, reason: reason, failure: failure, time: runtime.time.now())
        if let sink = mirror.settings.sink {
            do {
                try await sink.capture([letter])
            } catch {
                report(error, during: "capture a dead letter")
                // It would be back at once, and be tried without end.
                if !mirror.source.capabilities.delaysDelivery { _ = await pause(after: 1) }
                return .retry(delivery.id, after: ConsumerRun.captureRetryDelay)
            }
        }
        runtime.instrument?.record(MessageDeadLettered(letter))
        return mirror.settings.sink == nil
            ? .reject(delivery.id, reason: reason.rawValue) : .acknowledge(delivery.id)
    }

    private func settle(_ settlements: [Settlement], on subscription: some TransportSubscription) async throws {
        if settlements.isEmpty { return }
        var failures = 0
        while true {
            do {
                return try await subscription.settle(settlements)
            } catch let error where ConsumerRun.mayPass(error) {
                report(error, during: "settle")
                failures += 1
                // Nothing is lost: what is not settled comes again.
                guard await pause(after: failures) else { throw error }
            }
        }
    }

    // MARK: Trouble

    /// Keeps trying what fails in a way that may pass.
    ///
    /// - Returns: `nil` if the mirror is to stop.
    private func persistently<Result: Sendable>(
        _ operation: String, _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result? {
        var failures = 0
        while !isStopping {
            do {
                return try await untilStopped(body)
            } catch let error where ConsumerRun.mayPass(error) {
                report(error, during: operation)
                failures += 1
                guard await pause(after: failures) else { return nil }
            } catch is CancellationError {
                return nil
            }
        }
        return nil
    }

    /// Runs a body that is cancelled when the mirror is to stop; what it has by then is not dropped.
    private func untilStopped<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result
    ) async throws -> Result? {
        try await withThrowingTaskGroup(of: Result?.self) { group in
            group.addTask { try await body() }
            group.addTask {
                try await self.end.wait(in: \.waiters) { $0.isStopping ? () : nil }
                return nil
            }
            defer { group.cancelAll() }
            var result = try await group.next() ?? nil
            group.cancelAll()
            while let other = try? await group.next() { result = result ?? other }
            return result
        }
    }

    /// - Returns: Whether the mirror may go on.
    private func pause(after failures: Int) async -> Bool {
        let delay = ExponentialBackoff.ofTrouble.delay(after: failures, random: runtime.random)
        let time = runtime.time
        _ = try? await untilStopped { try await time.sleep(for: delay) }
        return !isStopping
    }

    private func report(_ error: any Error, during operation: String) {
        guard let instrument = runtime.instrument else { return }
        let text = runtime.redacted(String(describing: error), of: nil)
        instrument.record(ConsumerOperationFailed(consumer: group.rawValue, operation: operation, error: text))
    }
}
