// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension ConsumerRun {
    /// How many messages of a lane are claimed at once.
    private static let entriesPerLane = 16

    // MARK: Claiming

    /// Claims lanes of the waiting room as they become due, renews the claims, and gives back at the end what is not handled.
    func lookAfter(_ room: any WaitingRoomAccess) async {
        var failures = 0
        while !monitor.withLock({ $0.haveWorkersEnded }) {
            var wait = settings.pollInterval
            do {
                try await renewClaims(room)
                if let due = try await claimDue(room) { wait = min(wait, due) }
                failures = 0
            } catch {
                failures += 1
                report(error, during: "claim")
                wait = min(wait, troubleDelay(after: failures))
            }
            if monitor.withLock({ !$0.claims.isEmpty }) { wait = min(wait, settings.lease / 3) }
            // Never none at all: a store that calls a lane due and does not hand it out must not be asked without a pause.
            let pause = max(.milliseconds(1), wait)
            guard (try? await roomWakeUp.wait(atMost: pause, time: runtime.time)) != nil else { break }
        }
        let claims = monitor.withLock { $0.claims }
        for (lane, claim) in claims.sorted(by: { $0.key < $1.key }) {
            do {
                try await room.handBack(lane, for: name, token: claim.token)
            } catch {
                // The lease runs out by itself; so do the others, which would fail as well if the database is gone.
                if (error as? DatabaseError)?.code == .unavailable { break }
            }
        }
    }

    /// Claims as many lanes as there are workers for.
    ///
    /// - Parameter room: The waiting room.
    /// - Returns: When to come again, if that is known.
    /// - Throws: What the waiting room throws.
    private func claimDue(_ room: any WaitingRoomAccess) async throws -> Duration? {
        let free = monitor.withLock { $0.isStopping ? 0 : settings.concurrency - $0.claims.count }
        guard free > 0 else { return nil }
        let claimed = try await room.claimDue(
            for: name, limit: free, entriesPerLane: Self.entriesPerLane, lease: settings.lease)
        if !claimed.isEmpty {
            let renewal = runtime.time.monotonic() + settings.lease / 3
            let wakeUps = monitor.withLock { state -> [Wakeup] in
                for claim in claimed {
                    state.claims[claim.lane] = (claim.token, renewal)
                    state.dispatch.enqueue(.waiting(claim), lane: nil)
                }
                return state.wakeWorkers()
            }
            for wakeUp in wakeUps { wakeUp.resume() }
        }
        // With no worker left, the one that becomes free wakes this task.
        return claimed.count < free ? try await room.timeUntilDue(for: name) : nil
    }

    private func renewClaims(_ room: any WaitingRoomAccess) async throws {
        let now = runtime.time.monotonic()
        let due = monitor.withLock { $0.claims.filter { $0.value.renewal <= now } }
        for (lane, claim) in due.sorted(by: { $0.key < $1.key }) {
            do {
                try await room.renew(lane, for: name, token: claim.token, lease: settings.lease)
            } catch let error as DatabaseError where error.code == .leaseLost {
                // Its worker finds out when it settles.
                report(error, during: "renew a claim")
            }
            monitor.withLock { state in
                if state.claims[lane]?.token == claim.token { state.claims[lane]?.renewal = now + settings.lease / 3 }
            }
        }
    }

    // MARK: Handling

    /// What becomes of a claimed lane.
    private enum LaneEnd {
        case handBack
        /// The claim has ended already.
        case ended
        /// What became of a message could not be written down, so that the claim must be left to run out.
        case unsettled
    }

    /// Handles the messages of a lane in their order.
    func handle(_ claim: ClaimedLane, _ ticket: Ticket) async {
        guard let room else { return }
        var end = LaneEnd.handBack
        for entry in claim.entries {
            if isStopping { break }
            if let result = await handle(entry, claim, room) {
                end = result
                break
            }
        }
        if case .handBack = end {
            let isDone = await settled("hand back") {
                try await room.handBack(claim.lane, for: self.name, token: claim.token)
            }
            end = isDone ? .ended : .unsettled
        }
        let wakeUps = monitor.withLock { state -> [Wakeup] in
            // At the end of the consumer, what is left is handed back once more. Before, it must not be renewed.
            if state.claims[claim.lane]?.token == claim.token, end == .ended || !state.isStopping {
                state.claims[claim.lane] = nil
            }
            state.dispatch.finish(ticket)
            return state.wakeAfterFinish()
        }
        for wakeUp in wakeUps { wakeUp.resume() }
        roomWakeUp.notify()
    }

    /// - Returns: `nil` if the next message of the lane may be handled.
    private func handle(_ entry: WaitingEntry, _ claim: ClaimedLane, _ room: any WaitingRoomAccess) async -> LaneEnd? {
        let attributes = entry.envelope.attributes
        let attempt = entry.attempts + 1
        if let failure = poison(attempt) {
            return await bury(entry, claim, room, reason: .poison, failure: failure, attempts: attempt)
        }
        switch await chain.handle(entry.envelope, attempt: attempt, mayRepeat: { !isStopping }) {
        case .handled:
            break
        case .skipped(let reason):
            runtime.instrument?.record(MessageSkipped(attributes, consumer: name, reason: reason))
        case .retry(let delay, let failure, let attempts):
            runtime.instrument?.record(
                MessageDelayed(attributes, consumer: name, delay: delay, error: failure.message))
            let later = entry.tried(attempts: attempts, failure: failure)
            let isDone = await settled("reschedule") {
                try await room.reschedule(later, after: delay, token: claim.token)
            }
            return isDone ? .ended : .unsettled
        case .dead(let reason, let failure, let attempts):
            return await bury(entry, claim, room, reason: reason, failure: failure, attempts: attempts)
        case .givenBack:
            return .handBack
        case .fatal(let error):
            end(with: error)
            return .handBack
        }
        let isDone = await settled("complete") {
            try await room.complete(entry, token: claim.token, blockingLane: false)
        }
        return isDone ? nil : .unsettled
    }

    private func bury(
        _ entry: WaitingEntry, _ claim: ClaimedLane, _ room: any WaitingRoomAccess,
        reason: DeadLetterReason, failure: FailureDetail, attempts: Int
    ) async -> LaneEnd? {
        let letter = letter(
            .envelope(entry.envelope), topic: entry.topic, position: entry.position, reason: reason, failure: failure,
            attempts: attempts)
        do {
            guard let roomSink else {
                throw ConsumerError(
                    .noDeadLetters,
                    "The consumer '\(name)' has nowhere to keep a message that cannot be handled, so that it waits on. Add "
                        + "`.deadLettering(to: DeadLetterQueue(in: database))`.")
            }
            try await roomSink.capture([letter])
        } catch {
            if Task.isCancelled { return .handBack }
            report(error, during: "capture a dead letter")
            let isDone = await settled("reschedule") {
                try await room.reschedule(entry, after: Self.captureRetryDelay, token: claim.token)
            }
            return isDone ? .ended : .unsettled
        }
        runtime.instrument?.record(MessageDeadLettered(letter))
        let blocks = settings.parksFollowers && entry.envelope.attributes.partitionKey != nil
        let isDone = await settled("complete") {
            try await room.complete(entry, token: claim.token, blockingLane: blocks)
        }
        if !isDone { return .unsettled }
        return blocks ? .handBack : nil
    }

    /// Writes down what became of a message or a lane, also when the worker is cancelled meanwhile.
    ///
    /// - Returns: `false` if that failed a few times, or twice once the grace period is over; the lease runs out then,
    ///   and the message is handled again.
    private func settled(_ operation: String, _ body: @escaping @Sendable () async throws -> Void) async -> Bool {
        let isDone = try? await withCancellationShield {
            await self.tryToSettle(operation, body)
        } onCancel: {
        }
        return isDone ?? false
    }

    private func tryToSettle(_ operation: String, _ body: @Sendable () async throws -> Void) async -> Bool {
        var failures = 0
        while true {
            do {
                try await body()
                return true
            } catch {
                failures += 1
                report(error, during: operation)
                // Once the grace period is over, a database that is gone must not hold up the end.
                let most = monitor.withLock { $0.isGraceOver ? 2 : 5 }
                guard Self.mayPass(error), failures < most else { return false }
                guard (try? await runtime.time.sleep(for: troubleDelay(after: failures))) != nil else { return false }
            }
        }
    }
}
