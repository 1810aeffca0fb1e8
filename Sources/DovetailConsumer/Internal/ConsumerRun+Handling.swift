// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension ConsumerRun {
    /// How many deliveries beyond the policy's attempts a message may have before it counts as poison.
    ///
    /// Something else than its handler's failures brings it back then, such as a process that ends while it handles it.
    static let extraDeliveries = 20

    /// After what time a message whose dead letter could not be kept is tried again.
    static let captureRetryDelay: Duration = .seconds(1)

    // MARK: Deliveries

    func handle(_ delivery: Delivery, attempts: Int?, _ ticket: Ticket) async {
        guard case .envelope(let envelope) = delivery.content else {
            if case .undecodable(_, _, let error) = delivery.content {
                let failure = FailureDetail(error, of: nil, runtime: runtime)
                await bury(delivery, ticket, reason: .schemaMismatch, failure: failure, attempts: 0)
            }
            return
        }
        if ticket.isDiverted, await follows(delivery, ticket) { return }
        let attempt =
            attempts.map { $0 + 1 }
            ?? monitor.withLock { $0.ledger.attempt(delivery, envelope, immediate: chain.immediateRetries) }
        if let failure = poison(attempt) {
            return await bury(delivery, ticket, reason: .poison, failure: failure, attempts: attempt)
        }
        switch await chain.handle(envelope, attempt: attempt, mayRepeat: { !isStopping }) {
        case .handled:
            finish(delivery, ticket, .acknowledge)
        case .skipped(let reason):
            runtime.instrument?.record(MessageSkipped(envelope.attributes, consumer: name, reason: reason))
            finish(delivery, ticket, .acknowledge)
        case .retry(let delay, let failure, let attempts):
            runtime.instrument?.record(
                MessageDelayed(envelope.attributes, consumer: name, delay: delay, error: failure.message))
            await postpone(delivery, ticket, after: delay, failure: failure, attempts: attempts)
        case .dead(let reason, let failure, let attempts):
            await bury(delivery, ticket, reason: reason, failure: failure, attempts: attempts)
        case .givenBack:
            release(delivery, ticket, followers: [])
        case .fatal(let error):
            end(with: error)
        }
    }

    /// Why a message is given up that was handed out more often than its attempts explain; `nil` if it was not.
    func poison(_ attempt: Int) -> FailureDetail? {
        let (most, overflow) = settings.retryPolicy.attempts.addingReportingOverflow(Self.extraDeliveries)
        guard !overflow, attempt > most else { return nil }
        return FailureDetail(
            type: "poison",
            message: "The message was handed out \(attempt) times, and no attempt came to an end. "
                + "Look for a process that ends while it handles it.")
    }

    private func finish(_ delivery: Delivery, _ ticket: Ticket, _ outcome: Settlement.Outcome) {
        let wakeUps = monitor.withLock { state -> [Wakeup] in
            state.ledger.forget(delivery)
            state.settlements.append(PendingSettlement(Settlement(delivery.id, outcome)))
            state.dispatch.finish(ticket)
            return state.wakeAfterFinish()
        }
        for wakeUp in wakeUps { wakeUp.resume() }
    }

    /// Whether a message went to the waiting room behind earlier ones of its lane, and those behind it in hand with it.
    private func follows(_ delivery: Delivery, _ ticket: Ticket) async -> Bool {
        guard let room else { return false }
        let followers = takeFollowers(of: ticket)
        let deliveries = [delivery] + followers
        do {
            let entries = deliveries.compactMap { entry(for: $0) }
            let admitted = try await room.admitFollowers(entries)
            // All are of one lane, which is either occupied or free.
            guard admitted.isSuperset(of: entries.map(\.id)) else {
                monitor.withLock { state in
                    state.dispatch.putBackFollowers(followers.map { .delivery($0, attempts: nil) }, of: ticket)
                }
                return false
            }
            finishInRoom(deliveries, ticket, failed: nil)
        } catch {
            // Whether it has to follow is not known, so it must not be handled.
            if Task.isCancelled {
                release(delivery, ticket, followers: followers)
                return true
            }
            report(error, during: "admit followers")
            giveBack(delivery, ticket, after: troubleDelay(after: 1), attempts: nil, followers: followers)
        }
        return true
    }

    // MARK: Later

    /// Has a message come again later, and those behind it in hand after it.
    private func postpone(
        _ delivery: Delivery, _ ticket: Ticket, after delay: Duration, failure: FailureDetail, attempts: Int
    ) async {
        let transportDelays = capabilities.delaysDelivery
        guard let room, ticket.lane != nil || !transportDelays || !capabilities.countsDeliveries else {
            if transportDelays {
                giveBack(delivery, ticket, after: delay, attempts: attempts, followers: [])
            } else {
                hold(delivery, ticket, for: delay, attempts: attempts)
            }
            return
        }
        let followers = takeFollowers(of: ticket)
        let entries =
            [entry(for: delivery, attempts: attempts, failure: failure)] + followers.map { entry(for: $0) }
        do {
            try await room.admit(entries.compactMap(\.self), after: delay)
            finishInRoom([delivery] + followers, ticket, failed: delivery.id)
        } catch {
            report(error, during: "admit")
            giveBack(delivery, ticket, after: delay, attempts: attempts, followers: followers)
        }
    }

    private func takeFollowers(of ticket: Ticket) -> [Delivery] {
        monitor.withLock { state in
            state.dispatch.takeFollowers(of: ticket).compactMap { work in
                if case .delivery(let delivery, _) = work { delivery } else { nil }
            }
        }
    }

    /// Acknowledges messages that are in the waiting room now.
    private func finishInRoom(_ deliveries: [Delivery], _ ticket: Ticket, failed: Delivery.ID?) {
        if let instrument = runtime.instrument {
            for delivery in deliveries where delivery.id != failed {
                guard let attributes = delivery.envelope?.attributes else { continue }
                instrument.record(MessageParked(attributes, consumer: name))
            }
        }
        let wakeUps = monitor.withLock { state -> [Wakeup] in
            for delivery in deliveries {
                state.ledger.forget(delivery)
                state.settlements.append(PendingSettlement(.acknowledge(delivery.id)))
            }
            state.dispatch.finish(ticket, divert: ticket.lane != nil)
            return state.wakeAfterFinish()
        }
        for wakeUp in wakeUps { wakeUp.resume() }
        roomWakeUp.notify()
    }

    /// Gives a message back to the transport, and those behind it in hand, so that none overtakes it.
    ///
    /// - Parameters:
    ///   - delivery: The message.
    ///   - ticket: Its turn.
    ///   - delay: After what time it is to come again.
    ///   - attempts: How often it was tried in all; `nil` if it was not tried this time.
    ///   - followers: Those that were taken out from behind it already.
    private func giveBack(
        _ delivery: Delivery, _ ticket: Ticket, after delay: Duration, attempts: Int?, followers: [Delivery]
    ) {
        guard let envelope = delivery.envelope else { return }
        let message = AttemptLedger.Key(delivery, envelope)
        let later = followers + takeFollowers(of: ticket)
        let wakeUps = monitor.withLock { state -> [Wakeup] in
            if let attempts { state.ledger.tried(message, attempts: attempts) } else { state.ledger.gaveBack(message) }
            var returned: (Lane, AttemptLedger.Key)?
            if let lane = ticket.lane {
                returned = (lane, message)
                state.returned.willReturn(message, of: lane)
            }
            state.settlements.append(
                PendingSettlement(.retry(delivery.id, after: delay), returning: returned))
            state.release(later, counting: countsReleases)
            state.dispatch.finish(ticket)
            return state.wakeAfterFinish()
        }
        for wakeUp in wakeUps { wakeUp.resume() }
    }

    /// Gives a message back that was not handled for no fault of its own, and those behind it in hand, as the consumer ends.
    private func release(_ delivery: Delivery, _ ticket: Ticket, followers: [Delivery]) {
        let later = followers + takeFollowers(of: ticket)
        let wakeUps = monitor.withLock { state -> [Wakeup] in
            state.release([delivery] + later, counting: countsReleases)
            state.dispatch.finish(ticket)
            return state.wakeAfterFinish()
        }
        for wakeUp in wakeUps { wakeUp.resume() }
    }

    /// Keeps a message in hand, and its lane waiting, until it is due; for transports that cannot delay it.
    private func hold(_ delivery: Delivery, _ ticket: Ticket, for delay: Duration, attempts: Int) {
        let due = runtime.time.monotonic() + delay
        monitor.withLock { state in
            state.held.append(Held(ticket: ticket, delivery: delivery, attempts: attempts, due: due))
        }
        heldWakeUp.notify()
    }

    // MARK: Dead letters

    /// Captures a dead letter, and only then settles the message.
    private func bury(
        _ delivery: Delivery, _ ticket: Ticket, reason: DeadLetterReason, failure: FailureDetail, attempts: Int
    ) async {
        let letter = letter(
            delivery.content, topic: delivery.topic, position: delivery.position, reason: reason, failure: failure,
            attempts: attempts)
        guard let sink = settings.sink else {
            runtime.instrument?.record(MessageDeadLettered(letter))
            return finish(delivery, ticket, .reject(reason: reason.rawValue))
        }
        do {
            try await sink.capture([letter])
            runtime.instrument?.record(MessageDeadLettered(letter))
            guard settings.parksFollowers, let room, let lane = ticket.lane else {
                return finish(delivery, ticket, .acknowledge)
            }
            let followers = takeFollowers(of: ticket)
            do {
                try await room.block(
                    WaitingLane(topic: lane.topic, key: lane.key), for: name,
                    followers: followers.compactMap { entry(for: $0) })
            } catch {
                return retryBurial(delivery, ticket, error, attempts: attempts, followers: followers)
            }
            finishInRoom([delivery] + followers, ticket, failed: delivery.id)
        } catch {
            retryBurial(delivery, ticket, error, attempts: attempts, followers: [])
        }
    }

    /// The message stays where it is until its letter can be kept.
    private func retryBurial(
        _ delivery: Delivery, _ ticket: Ticket, _ error: any Error, attempts: Int, followers: [Delivery]
    ) {
        report(error, during: "capture a dead letter")
        let before = max(0, attempts - 1)
        if delivery.envelope == nil {
            finish(delivery, ticket, .retry(after: Self.captureRetryDelay))
        } else if capabilities.delaysDelivery || !followers.isEmpty {
            giveBack(delivery, ticket, after: Self.captureRetryDelay, attempts: before, followers: followers)
        } else {
            hold(delivery, ticket, for: Self.captureRetryDelay, attempts: before)
        }
    }

    func letter(
        _ content: Delivery.Content, topic: Topic, position: String, reason: DeadLetterReason,
        failure: FailureDetail, attempts: Int
    ) -> DeadLetter {
        DeadLetter(
            id: DeadLetter.makeID(of: content, topic: topic, position: position, consumer: name), content: content,
            topic: topic, position: position, consumer: name, attempts: attempts, reason: reason, failure: failure,
            time: runtime.time.now())
    }
}
