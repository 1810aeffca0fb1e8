// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore

/// Works on one redrive, from the claim to its end.
///
/// What is known of it is in the database after each batch; what is kept here may be lost.
struct RedriveRun<DB: DeadLetterDatabase & TableDatabase, T: Transport>: Sendable {
    let queue: DeadLetterQueue<DB>
    let transport: T
    let settings: RedriverSettings
    let rooms: RoomReturn<DB>?
    let runtime: Runtime
    var progress: @Sendable (RedriveJob) -> Void = { _ in }

    private var database: DB { queue.database }

    /// Thrown when the redrive has ended.
    private struct Over: Error {
        let job: RedriveJob
    }

    func run(_ id: String) async throws -> RedriveJob {
        let owner = runtime.makeUUID().description
        do {
            let job = try await claim(id, owner)
            do {
                return try await work(on: job, owner)
            } catch is CancellationError {
                // Others need not wait for the lease.
                _ = try? await withCancellationShield {
                    try await change(id, owner) { $0.owner = nil }
                } onCancel: {
                }
                throw CancellationError()
            }
        } catch let over as Over {
            return over.job
        }
    }

    // MARK: The redrive

    private func claim(_ id: String, _ owner: String) async throws -> RedriveJob {
        try await database.withTransaction { tx in
            let entry = try await queue.entry(of: id, in: tx)
            var job = entry.row
            guard job.state.isActive else { throw Over(job: job) }
            let now = runtime.time.now()
            guard job.isFree(at: now) else {
                throw DeadLetterError(
                    .redriveClaimed, "Another process works on the redrive \(id). If it has ended, wait for its lease.")
            }
            job.owner = owner
            job.leaseEnd = now + settings.lease
            if job.state == .waiting { job.state = .running }
            try await queue.jobs.put(job, at: id, expecting: entry.version, in: tx)
            return job
        }
    }

    /// Writes down how far it is, if it is still this run's and has not been cancelled.
    @discardableResult
    private func change(
        _ id: String, _ owner: String, _ change: (inout RedriveJob) -> Void
    ) async throws -> RedriveJob {
        let job = try await database.withTransaction { tx in
            try await self.change(id, owner, in: tx, change)
        }
        progress(job)
        return job
    }

    private func change(
        _ id: String, _ owner: String, in tx: DB.Transaction, _ change: (inout RedriveJob) -> Void
    ) async throws -> RedriveJob {
        let entry = try await queue.entry(of: id, in: tx)
        var job = entry.row
        guard job.state.isActive else { throw Over(job: job) }
        guard job.owner == owner else {
            throw DeadLetterError(
                .redriveClaimed,
                "Another process has taken over the redrive \(id), since this one was not heard of for longer than its lease. "
                    + "Raise the lease if this happens often.")
        }
        job.leaseEnd = runtime.time.now() + settings.lease
        change(&job)
        try await queue.jobs.put(job, at: id, expecting: entry.version, in: tx)
        return job
    }

    private func end(_ job: RedriveJob, _ owner: String, _ state: RedriveState, problem: String? = nil) async throws
        -> RedriveJob
    {
        let ended = try await change(job.id, owner) { job in
            job.state = state
            job.ended = runtime.time.now()
            job.owner = nil
            if let problem { job.problem = problem }
        }
        runtime.instrument?.record(RedriveStateChanged(ended))
        return ended
    }

    private func work(on claimed: RedriveJob, _ owner: String) async throws -> RedriveJob {
        var job = claimed
        var pace = Pace(perSecond: job.request.lettersPerSecond)
        var failures = 0
        runtime.instrument?.record(RedriveStateChanged(job))
        while true {
            try Task.checkCancellation()
            if !job.isCanaryOver, job.canaryEnd != nil || job.redriven >= job.request.canary {
                guard let watched = try await watch(job, owner) else {
                    return try await end(
                        job, owner, .stopped,
                        problem:
                            "Messages that went ahead are back among the dead letters. Look at them before you resume.")
                }
                job = watched
            }
            let page = try await nextPage(of: job, pace: pace)
            guard let last = page.last?.place else { return try await end(job, owner, .completed) }
            job = try await wait(for: &pace, count: page.count, job, owner)
            let batch = try await publish(page, job)
            job = try await settle(batch, upTo: last, job, owner)
            if batch.pending.isEmpty || !batch.isUseless {
                failures = 0
                continue
            }
            failures += 1
            guard failures < settings.retry.attempts else {
                return try await end(
                    job, owner, .stopped, problem: "The transport does not take messages: \(batch.problem)")
            }
            let delay = settings.retry.delay(after: failures, random: runtime.random)
            job = try await sleep(delay, job, owner)
        }
    }

    // MARK: A batch

    private func nextPage(of job: RedriveJob, pace: Pace) async throws -> [DeadLetter] {
        var limit = min(job.request.batchSize, pace.most)
        if !job.isCanaryOver { limit = min(limit, max(1, job.request.canary - job.redriven)) }
        let size = limit
        let page = try await database.withReadTransaction { tx in
            try await database.deadLetterStore.find(job.request.filter, after: job.place, limit: size, in: tx)
        }
        return Array(page.prefix { ($0.place ?? 0) <= job.cutOff })
    }

    private func publish(_ page: [DeadLetter], _ job: RedriveJob) async throws -> RedriveBatch {
        var batch = RedriveBatch()
        var letters: [(letter: DeadLetter, envelope: Envelope<Bytes>)] = []
        for letter in page {
            guard let envelope = envelope(of: letter, job) else {
                batch.passedOver.append(letter)
                continue
            }
            if rooms?.takes(letter) ?? false {
                batch.returned.append((letter, envelope))
            } else {
                letters.append((letter, envelope))
            }
        }
        guard !letters.isEmpty else { return batch }
        let results: [PublishResult]
        do {
            results = try await transport.publish(letters.map(\.envelope))
        } catch let error as TransportError {
            results = letters.map { _ in .failed(error) }
        }
        for (index, pair) in letters.enumerated() {
            // A transport that gives too few results has not confirmed the others.
            switch index < results.count ? results[index] : nil {
            case .published?: batch.published.append(pair)
            case .failed(let error)? where error.failureClass == .permanent:
                batch.passedOver.append(pair.letter)
                batch.note(error, of: pair.envelope, runtime)
            case .failed(let error)?:
                batch.pending.append(pair.letter)
                if error.code != .notAttempted { batch.note(error, of: pair.envelope, runtime) }
            case nil: batch.pending.append(pair.letter)
            }
        }
        return batch
    }

    private func envelope(of letter: DeadLetter, _ job: RedriveJob) -> Envelope<Bytes>? {
        guard var envelope = letter.envelope else { return nil }
        envelope.attributes.topic = letter.topic
        if job.request.dropsExpiry { envelope.attributes.expiry = nil }
        RedriveHeaders.mark(
            &envelope.attributes.headers, from: letter, mostBytes: transport.capabilities.mostHeaderBytes)
        return envelope
    }

    /// Takes out the letters that are confirmed, in the transaction that says how far the redrive is.
    private func settle(
        _ batch: RedriveBatch, upTo last: Int64, _ job: RedriveJob, _ owner: String
    ) async throws -> RedriveJob {
        // What has to be tried again is read again, and what was passed over before it with it.
        let end = batch.pending.compactMap(\.place).min().map { $0 - 1 } ?? last
        let passedOver = batch.passedOver.filter { ($0.place ?? 0) <= end }.count
        let now = runtime.time.now()
        let (changed, left) = try await database.withTransaction { tx in
            let removal = DeadLetterRemoval(.redriven, at: now, job: job.id, note: job.request.note)
            let gone = try await database.deadLetterStore.remove(
                (batch.published + batch.returned).map(\.letter.id), removal, in: tx)
            // One that somebody discarded meanwhile must not come back; of a publication there is no taking back.
            let returned = batch.returned.filter { gone.contains($0.letter.id) }
            try await restore(returned, in: tx)
            let changed = try await change(job.id, owner, in: tx) { job in
                job.place = max(job.place, end)
                job.redriven += gone.count
                job.passedOver += passedOver
                if !batch.problem.isEmpty { job.problem = batch.problem }
                if !job.isCanaryOver {
                    job.canaries += (batch.published + returned).map(\.envelope.attributes.id)
                }
            }
            return (changed, gone)
        }
        if let instrument = runtime.instrument {
            for (letter, envelope) in batch.published + batch.returned where left.contains(letter.id) {
                instrument.record(MessageRedriven(envelope.attributes, letter: letter.id, job: job.id))
            }
        }
        progress(changed)
        return changed
    }

    private func restore(
        _ returned: [(letter: DeadLetter, envelope: Envelope<Bytes>)], in tx: DB.Transaction
    ) async throws {
        var lanes: [(name: String, entries: [WaitingEntry])] = []
        var numbers: [String: Int] = [:]
        for (letter, envelope) in returned {
            let entry = WaitingEntry(
                consumer: letter.consumer, envelope: envelope, topic: letter.topic, position: letter.position)
            let name = "\(letter.consumer.utf8.count) \(letter.consumer) \(entry.lane)"
            if let number = numbers[name] {
                lanes[number].entries.append(entry)
            } else {
                numbers[name] = lanes.count
                lanes.append((name, [entry]))
            }
        }
        for lane in lanes { try await rooms?.restore(lane.entries, tx) }
    }

    // MARK: Waiting

    /// Watches the messages that went ahead.
    ///
    /// - Returns: The redrive, which may go on; `nil` if one of them is back.
    private func watch(_ job: RedriveJob, _ owner: String) async throws -> RedriveJob? {
        var job = job
        if job.canaryEnd == nil {
            job = try await change(job.id, owner) { job in
                job.canaryEnd = runtime.time.now() + job.request.canaryWait
                job.state = .watching
            }
            runtime.instrument?.record(RedriveStateChanged(job))
        }
        let filter = DeadLetterFilter(messages: Set(job.canaries))
        while true {
            let (place, messages) = (job.cutOff, filter)
            let back = try await database.withReadTransaction { tx in
                try await database.deadLetterStore.find(messages, after: place, limit: 1, in: tx)
            }
            if !back.isEmpty { return nil }
            let left = (job.canaryEnd ?? .earliest) - runtime.time.now()
            if left <= .zero { break }
            job = try await sleep(min(left, .seconds(1)), job, owner)
        }
        job = try await change(job.id, owner) { job in
            job.isCanaryOver = true
            job.state = .running
        }
        runtime.instrument?.record(RedriveStateChanged(job))
        return job
    }

    private func wait(for pace: inout Pace, count: Int, _ job: RedriveJob, _ owner: String) async throws -> RedriveJob {
        let due = pace.turn(for: count, at: runtime.time.monotonic())
        return try await sleep(due - runtime.time.monotonic(), job, owner)
    }

    /// Sleeps, and keeps the redrive meanwhile.
    private func sleep(_ duration: Duration, _ job: RedriveJob, _ owner: String) async throws -> RedriveJob {
        var job = job
        let end = runtime.time.monotonic() + duration
        while true {
            let left = end - runtime.time.monotonic()
            if left <= .zero { return job }
            try await runtime.time.sleep(for: min(left, settings.lease / 3))
            if left > settings.lease / 3 { job = try await change(job.id, owner) { _ in } }
        }
    }
}

/// What became of the letters of a batch.
struct RedriveBatch: Sendable {
    /// Confirmed by the transport.
    var published: [(letter: DeadLetter, envelope: Envelope<Bytes>)] = []
    /// To go back into a waiting room.
    var returned: [(letter: DeadLetter, envelope: Envelope<Bytes>)] = []
    /// Never to be taken.
    var passedOver: [DeadLetter] = []
    /// To be tried again.
    var pending: [DeadLetter] = []
    /// The last thing that went wrong.
    private(set) var problem = ""

    /// Whether nothing came of it.
    var isUseless: Bool { published.isEmpty && returned.isEmpty && passedOver.isEmpty }

    mutating func note(_ error: TransportError, of envelope: Envelope<Bytes>, _ runtime: Runtime) {
        problem = FailureDetail(error, of: envelope.attributes.type, runtime: runtime).inFlight.message
    }
}

/// Spreads letters over time.
struct Pace: Sendable {
    private let perSecond: Int?
    private var next: MonotonicInstant?

    init(perSecond: Int?) {
        self.perSecond = perSecond
    }

    /// The most letters to send at once, so that there are no bursts of more than a tenth of a second.
    var most: Int { perSecond.map { max(1, $0 / 10) } ?? .max }

    /// When so many letters may be sent.
    mutating func turn(for count: Int, at now: MonotonicInstant) -> MonotonicInstant {
        guard let perSecond else { return now }
        let turn = max(next ?? now, now)
        next = turn + .nanoseconds(Int64(count) * 1_000_000_000 / Int64(perSecond))
        return turn
    }
}
