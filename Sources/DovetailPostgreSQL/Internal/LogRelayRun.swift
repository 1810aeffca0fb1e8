// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import DovetailCore
    import DovetailOutbox
    import DovetailSQL

    /// One connection of a relay to the log, from its start until it is lost or the task is cancelled.
    struct LogRelayRun<Destination: Transport>: Sendable {
        private struct Pending: Sendable {
            let envelope: Envelope<Bytes>
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

        func run(_ onProgress: () -> Void) async throws {
            let connection = try await LogConnection.open(
                try relay.server, relay.database.pool.configuration, slot: relay.slot, publication: relay.slot,
                mark: relay.mark)
            do {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await gauge() }
                    defer { group.cancelAll() }
                    while true {
                        try Task.checkCancellation()
                        let batch = try await connection.read(atMost: relay.settings.batchSize, within: .seconds(5))
                        guard !batch.entries.isEmpty || batch.end != nil else { continue }
                        if !batch.entries.isEmpty { try await publish(batch.entries, staying: connection) }
                        // Only now: until here, whoever comes after a crash reads all of it again.
                        if let end = batch.end { try await connection.confirm(end) }
                        onProgress()
                    }
                }
            } catch {
                await connection.close()
                throw error
            }
        }

        /// Publishes while the server is told now and then that this reader is still there.
        private func publish(_ entries: [LogBatch.Entry], staying connection: LogConnection) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    while true {
                        try await SystemTime().sleep(for: .seconds(5))
                        try await connection.reply()
                    }
                }
                defer { group.cancelAll() }
                try await publish(entries)
            }
        }

        private func publish(_ entries: [LogBatch.Entry]) async throws {
            var pending = try await decode(entries)
            var rounds = 0
            while !pending.isEmpty {
                let results = try await results(of: pending)
                var (failed, givenUp): ([Pending], [(Pending, TransportError)]) = ([], [])
                for (place, result) in results.enumerated() {
                    var entry = pending[place]
                    guard case .failed(let error) = result else {
                        tell(entry)
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
                    failed = pending.filter { entry in
                        failed.contains { $0.position == entry.position }
                            || givenUp.contains { $0.0.position == entry.position }
                    }
                }
                pending = failed
                if pending.isEmpty { return }
                rounds += 1
                let attempts = max(1, pending.map(\.attempts).max() ?? rounds)
                try await runtime.time.sleep(for: relay.settings.retry.delay(after: attempts, random: runtime.random))
            }
        }

        private func results(of pending: [Pending]) async throws -> [PublishResult] {
            do {
                let results = try await relay.transport.publish(pending.map(\.envelope))
                let missing = PublishResult.failed(
                    TransportError(.unavailable, "The transport gave fewer results than it was given messages."))
                return results + Array(repeating: missing, count: max(0, pending.count - results.count))
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
            for entry in entries {
                let time = Timestamp(microseconds: entry.committedAt)
                do {
                    pending.append(
                        Pending(
                            envelope: try LoggedEnvelope.decode(entry.content), position: entry.position,
                            committedAt: time))
                } catch {
                    let message = (error as? DatabaseError)?.message ?? String(describing: error)
                    letters.append(
                        DeadLetter(
                            id: letterID(entry.position, ""),
                            content: .undecodable(
                                entry.content, headers: Headers(), MessageError(.invalidEnvelope, message)),
                            topic: "", position: entry.position.description, consumer: relay.name, attempts: 1,
                            reason: .schemaMismatch, failure: FailureDetail(error, of: nil, runtime: runtime),
                            time: time))
                }
            }
            while try await !keep(letters) { try await runtime.time.sleep(for: .seconds(1)) }
            return pending
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
            let slot = LogSlot(name: relay.slot, database: relay.database)
            while true {
                if let bytes = try? await slot.retainedBytes() {
                    runtime.instrument?.record(
                        PostgresLogRetained(slot: relay.slot, bytes: bytes, isAlarm: bytes >= relay.settings.alarmBytes)
                    )
                }
                try await runtime.time.sleep(for: relay.settings.gaugeInterval)
            }
        }

        private func tell(_ entry: Pending) {
            guard let instrument = runtime.instrument else { return }
            let attributes = entry.envelope.attributes
            instrument.record(MessagePublished(attributes))
            instrument.record(MessageRelayed(attributes, lag: max(.zero, runtime.time.now() - entry.committedAt)))
        }

        private func report(_ error: any Error, during operation: String) {
            guard let instrument = runtime.instrument else { return }
            let text = FailureDetail(error, of: nil, runtime: runtime).message
            instrument.record(OutboxRelayFailed(relay: relay.name, operation: operation, error: text))
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
