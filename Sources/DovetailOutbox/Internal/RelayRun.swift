// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// One run of a relay, from its start until its task is cancelled.
final class RelayRun<Store: OutboxStore, Destination: Transport>: Sendable {
    private struct State: Sendable {
        var claims: Set<FencingToken> = []
        /// How many calls in a row got nothing through.
        var blanks = 0
        var roomWaiters = WaiterList()
    }

    let store: Store
    let transport: Destination
    let name: String
    let deadLetters: (any DeadLetterSink)?
    let settings: OutboxRelaySettings
    let runtime: Runtime
    private let wakeUp: WakeUp
    private let monitor = Monitor(State())

    /// How many messages are tried at a time while nothing gets through.
    private static var probeSize: Int { 10 }

    init(
        store: Store, transport: Destination, name: String, deadLetters: (any DeadLetterSink)?,
        settings: OutboxRelaySettings, runtime: Runtime
    ) {
        self.store = store
        self.transport = transport
        self.name = name
        self.deadLetters = deadLetters
        self.settings = settings
        self.runtime = runtime
        wakeUp = store.wakeUp ?? WakeUp()
    }

    func untilCancelled() async {
        await withDiscardingTaskGroup { group in
            group.addTask { await self.renewClaims() }
            var failures = 0
            while !Task.isCancelled {
                do {
                    try await self.claimAndStart(in: &group)
                    failures = 0
                } catch {
                    guard !Task.isCancelled else { break }
                    failures += 1
                    self.report(error, during: "claim")
                    try? await self.pause(after: failures)
                }
            }
            // Batches finish by themselves, each within the grace; the renewals end here.
            group.cancelAll()
        }
    }

    private func claimAndStart(in group: inout DiscardingTaskGroup) async throws {
        let blanks = try await waitForRoom()
        if blanks > 0 { try await pause(after: blanks) }
        let limit = blanks > 0 ? min(Self.probeSize, settings.batchSize) : settings.batchSize
        // A claim that was made must not be forgotten, or its rows would have to wait for the end of the lease.
        let claim = try await withCancellationShield { [store, settings] in
            try await store.claim(limit: limit, lease: settings.lease)
        } onCancel: {
        }
        if !claim.rows.isEmpty {
            runtime.instrument?.record(OutboxClaimed(claim.rows.count))
            monitor.withLock { _ = $0.claims.insert(claim.token) }
            group.addTask { await self.relay(claim) }
        }
        // A full batch means that there is more.
        if claim.rows.count >= limit { return }
        let wait = claim.nextDue.map { min(max($0, .milliseconds(1)), settings.pollInterval) } ?? settings.pollInterval
        try await wakeUp.wait(atMost: wait, time: runtime.time)
    }

    /// Waits until another batch may be started.
    ///
    /// - Returns: How many calls in a row got nothing through.
    private func waitForRoom() async throws -> Int {
        let concurrency = settings.concurrency
        return try await monitor.wait(in: \.roomWaiters) { state in
            state.claims.count < (state.blanks > 0 ? 1 : concurrency) ? state.blanks : nil
        }
    }

    /// Waits longer each time, but no longer than a poll: more would hold up messages that might get through.
    private func pause(after failures: Int) async throws {
        let backoff = ExponentialBackoff(from: .milliseconds(50), upTo: settings.pollInterval, attempts: .max)
        try await runtime.time.sleep(for: backoff.delay(after: failures, random: runtime.random))
    }

    private func renewClaims() async {
        while (try? await runtime.time.sleep(for: settings.lease / 3)) != nil {
            for token in monitor.withLock({ $0.claims }).sorted() {
                do {
                    try await store.renew(token, lease: settings.lease)
                } catch let error as DatabaseError where error.code == .leaseLost {
                    // Settled meanwhile, or taken by another: then settling will say so.
                } catch {
                    report(error, during: "renew")
                }
            }
        }
    }

    // MARK: One batch

    private func relay(_ claim: OutboxClaim) async {
        let stop = StopSignal()
        let gotThrough = try? await withCancellationShield {
            await self.publishAndSettle(claim, stop: stop)
        } onCancel: {
            stop.give()
        }
        monitor.withLock { state in
            state.claims.remove(claim.token)
            state.blanks = gotThrough ?? true ? 0 : state.blanks + 1
            return state.roomWaiters.wakeAll()
        }.resume()
        // There may be more for the keys that were in hand.
        wakeUp.notify()
    }

    /// - Returns: Whether at least one row left the outbox.
    private func publishAndSettle(_ claim: OutboxClaim, stop: StopSignal) async -> Bool {
        let results: [PublishResult]
        do {
            results = try await publish(claim.rows.map(\.envelope), stop: stop).get()
        } catch {
            // What was published is not known. No row is to blame, so no attempt is counted.
            if !(error is CancellationError) { report(error, during: "publish") }
            await settle("release") { try await self.store.release(claim.rows.map(\.id), token: claim.token) }
            return false
        }
        return await settle(claim, results)
    }

    private func publish(_ envelopes: [Envelope<Bytes>], stop: StopSignal) async -> Result<[PublishResult], any Error> {
        await withTaskGroup(of: Result<[PublishResult], any Error>?.self) { [transport, runtime, settings] group in
            group.addTask {
                do { return .success(try await transport.publish(envelopes)) } catch { return .failure(error) }
            }
            group.addTask {
                if (try? await stop.wait()) != nil { try? await runtime.time.sleep(for: settings.grace) }
                return nil
            }
            var result: Result<[PublishResult], any Error>?
            for await ended in group {
                result = result ?? ended
                group.cancelAll()
            }
            return result ?? .failure(CancellationError())
        }
    }

    /// - Returns: Whether at least one row left the outbox.
    private func settle(_ claim: OutboxClaim, _ results: [PublishResult]) async -> Bool {
        var sorted = RelayedRows()
        for (place, row) in claim.rows.enumerated() {
            sorted.add(row, place < results.count ? results[place] : .failed(.noResult), to: self)
        }
        let now = runtime.time.now()
        let letters = await capture(&sorted, now: now)
        let (token, rows) = (claim.token, sorted)
        if !rows.published.isEmpty {
            await settle("complete") { try await self.store.complete(rows.published, token: token) }
        }
        if !letters.isEmpty { await settle("park") { try await self.store.park(letters, token: token) } }
        if !rows.failures.isEmpty { await settle("fail") { try await self.store.fail(rows.failures, token: token) } }
        if !rows.untried.isEmpty {
            await settle("release") { try await self.store.release(rows.untried, token: token) }
        }
        if let instrument = runtime.instrument { tell(instrument, claim, results, now: now) }
        return !rows.published.isEmpty || !letters.isEmpty
    }

    /// Hands the rows that are given up to the dead letters; they fail instead if these cannot take them.
    ///
    /// - Returns: The rows that the dead letters have.
    private func capture(_ rows: inout RelayedRows, now: Timestamp) async -> [OutboxRow.ID] {
        guard !rows.givenUp.isEmpty, let deadLetters else { return [] }
        let letters = rows.givenUp.map { row, error in letter(for: row, error, time: now) }
        do {
            try await deadLetters.capture(letters)
        } catch {
            report(error, during: "capture")
            for (row, error) in rows.givenUp { rows.failures.append(failure(of: row, error)) }
            return []
        }
        if let instrument = runtime.instrument {
            for (place, letter) in letters.enumerated() {
                instrument.record(
                    OutboxParked(rows.givenUp[place].row.envelope.attributes, error: letter.failure.inFlight.message))
                instrument.record(MessageDeadLettered(letter))
            }
        }
        return rows.givenUp.map(\.row.id)
    }

    private func letter(for row: OutboxRow, _ error: TransportError, time: Timestamp) -> DeadLetter {
        let attributes = row.envelope.attributes
        return DeadLetter(
            // The same row makes the same letter, also when the relay ends between the capture and the parking.
            id: DeterministicID.make(
                namespace: "dovetail.outbox.letter", [row.id.description, attributes.id.rawValue]
            ),
            content: .envelope(row.envelope), topic: attributes.topic, position: "", consumer: name,
            attempts: row.attempts + 1, reason: error.deadLetterReason ?? .poison,
            failure: FailureDetail(error, of: attributes.type, runtime: runtime), time: time
        )
    }

    func failure(of row: OutboxRow, _ error: TransportError) -> OutboxFailure {
        OutboxFailure(
            id: row.id, retryAfter: settings.retry.delay(after: row.attempts + 1, random: runtime.random),
            reason: FailureDetail(error, of: row.envelope.attributes.type, runtime: runtime).inFlight.message
        )
    }

    /// Settles, trying again for a moment if the database cannot be reached: what is not settled is published once more.
    private func settle(_ operation: String, _ body: () async throws -> Void) async {
        for attempt in 1... {
            do {
                return try await body()
            } catch {
                report(error, during: operation)
                guard attempt < 5, (error as? DatabaseError)?.code.isTransient ?? false else { return }
                try? await pause(after: attempt)
            }
        }
    }

    // MARK: Telling

    private func tell(_ instrument: any Instrument, _ claim: OutboxClaim, _ results: [PublishResult], now: Timestamp) {
        for (row, result) in zip(claim.rows, results) {
            let attributes = row.envelope.attributes
            switch result {
            case .published:
                instrument.record(MessagePublished(attributes))
                instrument.record(MessageRelayed(attributes, lag: max(.zero, now - row.due)))
            case .failed(let error):
                if error.code != .notAttempted { instrument.record(MessagePublishFailed(attributes, error: error)) }
            }
        }
    }

    private func report(_ error: any Error, during operation: String) {
        guard let instrument = runtime.instrument else { return }
        let text = FailureDetail(error, of: nil, runtime: runtime).message
        instrument.record(OutboxRelayFailed(relay: name, operation: operation, error: text))
    }
}

/// The rows of a batch by what became of them.
private struct RelayedRows: Sendable {
    var published: [OutboxRow.ID] = []
    var failures: [OutboxFailure] = []
    var givenUp: [(row: OutboxRow, error: TransportError)] = []
    /// Behind a row of their key that failed.
    var untried: [OutboxRow.ID] = []

    mutating func add(_ row: OutboxRow, _ result: PublishResult, to run: RelayRun<some OutboxStore, some Transport>) {
        switch result {
        case .published: published.append(row.id)
        case .failed(let error) where error.code == .notAttempted: untried.append(row.id)
        case .failed(let error):
            let isOver = error.failureClass == .permanent || row.attempts + 1 >= run.settings.retry.attempts
            if isOver, run.deadLetters != nil {
                givenUp.append((row, error))
            } else {
                failures.append(run.failure(of: row, error))
            }
        }
    }
}

extension TransportError {
    fileprivate static let noResult = TransportError(
        .unavailable, "The transport gave fewer results than it was given messages. This is a fault of the transport."
    )
}
