// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What became of a message after the attempts that were made in a row.
enum Disposition: Sendable {
    case handled
    /// Settled without a handler; counted.
    case skipped(reason: String)
    /// To be tried again after a wait.
    case retry(after: Duration, failure: FailureDetail, attempts: Int)
    case dead(DeadLetterReason, FailureDetail, attempts: Int)
    /// The handler was cancelled; no attempt was made.
    case givenBack
    /// The consumer is to end.
    case fatal(any Error)
}

/// Finds the handler of a message and runs it, at once again where the policy says so.
struct HandlerChain: Sendable {
    let consumer: String
    let table: RouteTable
    let transport: any Transport
    /// The transport, if payloads are to be brought back before a handler runs.
    let restoring: (any PayloadRestoringTransport)?
    let settings: ConsumerSettings
    let runtime: Runtime
    let immediateRetries: Int

    /// Handles a message.
    ///
    /// - Parameters:
    ///   - envelope: The message.
    ///   - attempt: Which attempt is the next, counted from 1.
    ///   - mayRepeat: Whether there is time for another attempt at once.
    /// - Returns: What became of it.
    func handle(
        _ envelope: Envelope<Bytes>, attempt: Int, mayRepeat: () -> Bool
    ) async -> Disposition {
        if let expiry = envelope.expiry, expiry <= runtime.time.now() { return expired(envelope, attempt: attempt) }
        let route: On
        switch table.match(envelope.attributes) {
        case .route(let found): route = found
        case .otherVersion(let majors): return unknownVersion(envelope, known: majors, attempt: attempt)
        case .unknown: return unknown(envelope, attempt: attempt)
        }
        var attempt = attempt
        var whole = restoring == nil ? envelope : nil
        while true {
            do {
                if whole == nil { whole = try await restoring?.restore(envelope) }
                try await invoke(route, whole ?? envelope, attempt: attempt)
                return .handled
            } catch {
                let disposition = judge(error, of: envelope, attempt: attempt)
                guard case .retry(let delay, let failure, _) = disposition, delay <= .zero, attempt <= immediateRetries,
                    mayRepeat()
                else { return disposition }
                runtime.instrument?.record(
                    MessageRetried(
                        envelope.attributes, consumer: consumer, attempt: attempt, error: failure.message))
                attempt += 1
            }
        }
    }

    private func invoke(_ route: On, _ envelope: Envelope<Bytes>, attempt: Int) async throws {
        let context = MessageContext(attributes: envelope.attributes, consumer: consumer, attempt: attempt)
        let started = runtime.instrument == nil ? nil : runtime.time.monotonic()
        try await MessageContext.$current.withValue(context) {
            try await pass(envelope, context, through: settings.middleware[...], to: route)
        }
        if let started {
            let elapsed = runtime.time.monotonic() - started
            runtime.instrument?.record(MessageHandled(envelope.attributes, consumer: consumer, elapsed: elapsed))
        }
    }

    private func pass(
        _ envelope: Envelope<Bytes>, _ context: MessageContext,
        through middleware: ArraySlice<any ConsumerMiddleware>, to route: On
    ) async throws {
        guard let outermost = middleware.first else {
            try await route.handler(
                IncomingMessage(envelope: envelope, context: context, codec: settings.codec, transport: transport))
            return
        }
        try await outermost.handle(envelope, context: context) { envelope, context in
            try await pass(envelope, context, through: middleware.dropFirst(), to: route)
        }
    }

    /// What a failure of a handler leads to.
    private func judge(_ error: any Error, of envelope: Envelope<Bytes>, attempt: Int) -> Disposition {
        let failure = FailureDetail(error, of: envelope.type, runtime: runtime)
        let verdict = settings.classifier.judge(error)
        switch verdict.failureClass {
        case .permanent:
            return .dead(verdict.reason, failure, attempts: attempt)
        case .cancelled, .transient:
            // What a handler throws once it was cancelled says nothing about the message.
            if Task.isCancelled { return .givenBack }
            guard attempt < settings.retryPolicy.attempts else {
                return .dead(verdict.reason, failure, attempts: attempt)
            }
            // Somebody else asks for it, and those behind the message wait as long.
            let asked = min((error as? any RetryAfterProviding)?.retryAfter ?? .zero, settings.longestRetryAfter)
            let delay = max(asked, settings.retryPolicy.delay(after: attempt, random: runtime.random))
            return .retry(after: delay, failure: failure.inFlight, attempts: attempt)
        }
    }

    // MARK: Messages without a handler

    private func expired(_ envelope: Envelope<Bytes>, attempt: Int) -> Disposition {
        guard settings.sink != nil else { return .skipped(reason: "expired") }
        let failure = FailureDetail(
            type: "expired", message: "The message was of use until \(envelope.expiry?.rfc3339 ?? "an unknown time").")
        return .dead(.expired, failure, attempts: attempt - 1)
    }

    private func unknownVersion(_ envelope: Envelope<Bytes>, known majors: [Int], attempt: Int) -> Disposition {
        let known = majors.map(String.init).joined(separator: ", ")
        let message =
            "The consumer '\(consumer)' takes '\(envelope.type)' in version \(known), not \(envelope.version). "
            + "Add a route for it, or lift it with `On(_:as:)`."
        if settings.unknownMessages == .fail { return .fatal(ConsumerError(.unknownMessage, message)) }
        return .dead(.unroutable, FailureDetail(type: "unroutable", message: message), attempts: attempt - 1)
    }

    private func unknown(_ envelope: Envelope<Bytes>, attempt: Int) -> Disposition {
        let message =
            "The consumer '\(consumer)' has no route for '\(envelope.type)', which came in the topic '\(envelope.topic)'. "
            + "Add a route, or set `unknownMessages(.ignore)`."
        switch settings.unknownMessages {
        case .fail: return .fatal(ConsumerError(.unknownMessage, message))
        case .deadLetter:
            return .dead(.unroutable, FailureDetail(type: "unroutable", message: message), attempts: attempt - 1)
        default: return .skipped(reason: "no route")
        }
    }
}
