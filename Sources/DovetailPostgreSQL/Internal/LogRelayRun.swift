// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    import DovetailOutbox
    import DovetailSQL

    /// One connection of a relay to the log, from its start until it is lost or the task is cancelled.
    struct LogRelayRun<Destination: Transport>: Sendable {
        private struct Pending: Sendable {
            let envelope: Envelope<Bytes>
            /// Its place among those that were read together.
            let place: Int
            let position: LogPosition
            let committedAt: Timestamp
            var attempts = 0
        }

        private let relay: PostgresLogRelay<Destination>
        private let runtime: Runtime

        init(_ relay: PostgresLogRelay<Destination>, runtime: Runtime) {
            self.relay = relay
            self.runtime = runtime
        }

        /// - Parameters:
        ///   - start: How far the log was published before.
        ///   - onProgress: Told how far it is published now, before the server is.
        /// - Throws: `DatabaseError` once the connection is lost; `CancellationError`.
        func run(from start: LogProgress, _ onProgress: (LogProgress) -> Void) async throws {
            let source = LogSource(
                slot: relay.slot, mark: relay.mark, table: try await relay.logSlot.resolvedTable(), published: start)
            let connection = try await LogConnection.open(
                try relay.server, relay.database.pool.configuration, source: source)
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await gauge() }
                    defer { group.cancelAll() }
                    var progress = connection.start
                    while true {
                        try Task.checkCancellation()
                        let batch = try await connection.read(atMost: relay.settings.batchSize, within: .seconds(5))
                        guard !batch.entries.isEmpty || batch.end != nil else { continue }
                        let published = try await publish(batch.entries, staying: connection)
                        // Only now: until here, whoever comes after a crash reads all of it again.
                        progress.part = max(progress.part, batch.part)
                        // The part stays: it may be one of a transaction that comes later.
                        if let end = batch.end { progress.end = end }
                        onProgress(progress)
                        if let end = batch.end { try await connection.confirm(end) }
                        for event in published { runtime.instrument?.record(event) }
                    }
                }
            } catch {
                await connection.close()
                throw error
            }
        }

        /// Publishes while the server is told now and then that this reader is still there.
        ///
        /// While nothing gets through the connection is given up: a server that is to stop waits for its readers.
        ///
        /// - Returns: What is to be told of those that were published, once their place is confirmed.
        private func publish(
            _ entries: [LogBatch.Entry], staying connection: LogConnection
        ) async throws -> [MessageRelayed] {
            guard !entries.isEmpty else { return [] }
            let taken = Monitor(0)
            return try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    var last = 0
                    while true {
                        try await SystemTime().sleep(for: .seconds(5))
                        let now = taken.withLock { $0 }
                        guard now > last else { return await connection.close() }
                        last = now
                        try await connection.reply()
                    }
                }
                defer { group.cancelAll() }
                return try await publish(entries) { count in taken.withLock { $0 += count } }
            }
        }

        private func publish(
            _ entries: [LogBatch.Entry], telling onTaken: (Int) -> Void
        ) async throws -> [MessageRelayed] {
            var pending = try await decode(entries)
            var published: [MessageRelayed] = []
            var rounds = 0
            while !pending.isEmpty {
                let results = try await results(of: pending)
                var (failed, givenUp): ([Pending], [(Pending, TransportError)]) = ([], [])
                for (place, result) in results.enumerated() {
                    var entry = pending[place]
                    guard case .failed(let error) = result else {
                        tell(entry, in: &published)
                        continue
                    }
                    if error.code == .notAttempted {
                        failed.append(entry)
                        continue
                    }
                    entry.attempts += 1
                    runtime.instrument?.record(MessagePublishFailed(entry.envelope.attributes, error: error))
                    let isOver =
                        error.failureClass == .permanent || entry.attempts >= relay.settings.retry.attempts
                    if isOver { givenUp.append((entry, error)) } else { failed.append(entry) }
                }
                // Those whose letter cannot be kept are tried again with the others, in their places.
                if try await !capture(givenUp) {
                    failed = (failed + givenUp.map(\.0)).sorted { $0.place < $1.place }
                }
                onTaken(pending.count - failed.count)
                // Where something gets through, the next try comes soon.
                rounds = failed.count < pending.count ? 1 : rounds + 1
                pending = failed
                if pending.isEmpty { break }
                let retry = relay.settings.retry
                let attempt = min(max(rounds, pending.map(\.attempts).max() ?? 0), max(1, retry.attempts - 1))
                try await runtime.time.sleep(for: retry.delay(after: attempt, random: runtime.random))
            }
            return published
        }

        private func results(of pending: [Pending]) async throws -> [PublishResult] {
            do {
                let results = try await relay.transport.publish(pending.map(\.envelope))
                let missing = PublishResult.failed(
                    TransportError(.unavailable, "The transport gave fewer results than it was given messages."))
                return results.prefix(pending.count)
                    + Array(repeating: missing, count: max(0, pending.count - results.count))
            } catch let error as TransportError {
                // No message is to blame.
                report(error, during: "publish")
                let untried = PublishResult.failed(TransportError(.notAttempted, error.message))
                return Array(repeating: untried, count: pending.count)
            }
        }

        /// What is no message of the library goes to the dead letters with its bytes.
        private func decode(_ entries: [LogBatch.Entry]) async throws -> [Pending] {
            var pending: [Pending] = []
            var letters: [DeadLetter] = []
            for (place, entry) in entries.enumerated() {
                let time = Timestamp(microseconds: entry.committedAt)
                do {
                    pending.append(
                        Pending(
                            envelope: try envelope(of: entry.content), place: place, position: entry.position,
                            committedAt: time))
                } catch {
                    let message = (error as? DatabaseError)?.message ?? String(describing: error)
                    letters.append(
                        DeadLetter(
                            id: letterID(entry.position, SHA256.hash(entry.content.bytes).hex),
                            content: .undecodable(
                                entry.content.bytes, headers: Headers(), MessageError(.invalidEnvelope, message)),
                            topic: "", position: entry.position.description, consumer: relay.name, attempts: 1,
                            reason: .schemaMismatch, failure: FailureDetail(error, of: nil, runtime: runtime),
                            time: time))
                }
            }
            while try await !keep(letters) { try await runtime.time.sleep(for: .seconds(1)) }
            return pending
        }

        private func envelope(of content: LogBatch.Content) throws -> Envelope<Bytes> {
            switch content {
            case .message(let bytes): return try LoggedEnvelope.decode(bytes)
            case .row(let row):
                guard let table = relay.table else {
                    throw DatabaseError(.undecodableRow, "A row came from the log of a relay that reads no table.")
                }
                return try table.envelope(of: row)
            }
        }

        private func capture(_ givenUp: [(Pending, TransportError)]) async throws -> Bool {
            let letters = givenUp.map { entry, error in
                let attributes = entry.envelope.attributes
                return DeadLetter(
                    id: letterID(entry.position, attributes.id.rawValue), content: .envelope(entry.envelope),
                    topic: attributes.topic, position: entry.position.description, consumer: relay.name,
                    attempts: entry.attempts, reason: error.deadLetterReason ?? .poison,
                    failure: FailureDetail(error, of: attributes.type, runtime: runtime), time: runtime.time.now())
            }
            return try await keep(letters)
        }

        private func keep(_ letters: [DeadLetter]) async throws -> Bool {
            guard !letters.isEmpty else { return true }
            do {
                try await relay.deadLetters.capture(letters)
            } catch let error as DatabaseError {
                report(error, during: "capture")
                return false
            }
            for letter in letters { runtime.instrument?.record(MessageDeadLettered(letter)) }
            return true
        }

        /// The same message makes the same letter, also when the relay ends before it has confirmed.
        private func letterID(_ position: LogPosition, _ message: String) -> String {
            DeterministicID.make(namespace: "dovetail.log.letter", [relay.slot, position.description, message])
        }

        private func gauge() async throws {
            while true {
                if let bytes = try? await relay.logSlot.retainedBytes() {
                    runtime.instrument?.record(
                        PostgresLogRetained(slot: relay.slot, bytes: bytes, isAlarm: bytes >= relay.settings.alarmBytes)
                    )
                }
                try await runtime.time.sleep(for: relay.settings.gaugeInterval)
            }
        }

        private func tell(_ entry: Pending, in published: inout [MessageRelayed]) {
            guard let instrument = runtime.instrument else { return }
            let attributes = entry.envelope.attributes
            instrument.record(MessagePublished(attributes))
            published.append(MessageRelayed(attributes, lag: max(.zero, runtime.time.now() - entry.committedAt)))
        }

        private func report(_ error: any Error, during operation: String) {
            guard let instrument = runtime.instrument else { return }
            let text = FailureDetail(error, of: nil, runtime: runtime).message
            instrument.record(OutboxRelayFailed(relay: relay.name, operation: operation, error: text))
        }
    }

    extension LogBatch.Content {
        /// As somebody may look at it who has to find out what it was.
        fileprivate var bytes: Bytes {
            switch self {
            case .message(let bytes): bytes
            case .row(let row): row.json
            }
        }
    }

    extension Timestamp {
        fileprivate init(microseconds: Int64) {
            let (seconds, rest) = microseconds.quotientAndRemainder(dividingBy: 1_000_000)
            self.init(
                secondsSinceEpoch: rest < 0 ? seconds - 1 : seconds,
                nanoseconds: Int32((rest < 0 ? rest + 1_000_000 : rest) * 1000))
        }
    }
#endif
