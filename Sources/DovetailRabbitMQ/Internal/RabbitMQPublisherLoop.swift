// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import CRabbitMQ
    import DovetailCore

    /// What the thread of a publisher does: sends, and reads what the broker says of it.
    struct RabbitMQPublisherLoop: ~Copyable {
        private let publisher: RabbitMQPublisher
        private var connection: AMQPConnection?
        private var ledger = ConfirmLedger<RabbitMQTicket>()
        /// Messages whose turn has come since the one before them is stored.
        private var ready = RingBuffer<RabbitMQTicket>()
        /// The topics that were declared over this connection, with their names.
        private var known: [Topic: RabbitMQNames] = [:]
        private var backOff = BackOff()
        private var keylessTurn = 0

        /// The channel of what is published, and that of all else, whose failures must not concern the first.
        private static let messages: UInt16 = 1
        static let topology: UInt16 = 2
        /// How many messages may be under way; more would only wait at the broker.
        private static let mostUnderWay = 4096

        init(_ publisher: RabbitMQPublisher) {
            self.publisher = publisher
        }

        private var settings: RabbitMQSettings { publisher.settings }
        private var now: MonotonicInstant { publisher.runtime.time.monotonic() }

        consuming func run() {
            while publisher.state.withLock({ $0.deadline == nil }) { step() }
            while hasWork, !isOverdue, connection != nil || backOff.isDue(now) { step() }
            end()
        }

        /// Whether closing has taken as long as it may.
        private var isOverdue: Bool {
            guard let deadline = publisher.state.withLock({ $0.deadline }) else { return false }
            return now >= deadline
        }

        private var hasWork: Bool {
            ledger.count > 0 || !ready.isEmpty
                || publisher.state.withLock { !$0.waiting.isEmpty || !$0.errands.isEmpty }
        }

        private mutating func step() {
            if connection == nil, hasWork, backOff.isDue(now) { connect() }
            beWatchedAside()
            if publisher.state.withLock({ state in state.isCut.exchange(false) }) {
                connection?.abandon()
                lose(AMQPFailure(cause: .library(status: AMQP_STATUS_CONNECTION_CLOSED.rawValue)))
            }
            do {
                if connection != nil {
                    try runErrands()
                    try send()
                    try read()
                }
            } catch {
                // What takes too long is ended from outside, which looks like a lost connection here.
                giveUpLate()
                if connection != nil, !isOverdue { lose(error) }
            }
            giveUpLate()
            publisher.watch.rest()
            rest()
        }

        /// Has the connection cut once a message under way is late, or closing is, whatever is done with it then.
        private func beWatched() {
            let limit = settings.publishTimeout
            publisher.watch.begin(connection?.cutter, until: ledger.oldestSentAt.map { $0 + limit })
        }

        /// Has it cut only later while the broker is asked for something else: no confirm is read then, so that a message may
        /// look late that is not.
        ///
        /// Each question is to be answered within a time, but may wait for ever to be taken behind messages that are not.
        private func beWatchedAside() {
            let limit = settings.publishTimeout + settings.connectTimeout
            publisher.watch.begin(connection?.cutter, until: ledger.count > 0 ? now + limit : nil)
        }

        /// Waits for the broker, or for something to do.
        private mutating func rest() {
            guard connection != nil else {
                var time: Int64 = 500
                if hasWork, let next = backOff.next { time = (next - now).nanoseconds / 1_000_000 + 1 }
                return wait(for: -1, atMost: .milliseconds(max(1, time)))
            }
            if ledger.count < Self.mostUnderWay, !ready.isEmpty { return }
            wait(for: connection?.socket ?? -1, atMost: .milliseconds(200))
        }

        private func wait(for socket: Int32, atMost limit: Duration) {
            publisher.wait.wait(for: socket, until: SystemTime().monotonic() + limit)
        }

        // MARK: The connection

        private mutating func connect() {
            do throws(TransportError) {
                let connection = try AMQPConnection(settings, purpose: "publisher")
                guard connection.cutter != nil else { throw TransportError.noMoreFiles }
                do throws(AMQPFailure) {
                    try connection.open(Self.messages)
                    try connection.confirm(Self.messages)
                } catch {
                    throw error.error(of: "The channel to publish with")
                }
                self.connection = connection
                backOff.succeeded()
            } catch {
                backOff.failed(at: now, random: publisher.runtime.random)
                trouble("connect", error.message)
                failWaiting(with: error)
            }
        }

        private func trouble(_ code: String, _ text: String) {
            publisher.runtime.instrument?.record(RabbitMQTroubled(group: nil, code: code, message: text))
        }

        /// Fails what waits for a connection that there is none of.
        private mutating func failWaiting(with error: TransportError) {
            let (tickets, errands) = publisher.state.withLock { state in
                var (tickets, errands): ([RabbitMQTicket], [RabbitMQPublisher.Errand]) = ([], [])
                while let ticket = state.waiting.popFirst() { tickets.append(ticket) }
                while let errand = state.errands.popFirst() { errands.append(errand) }
                return (tickets, errands)
            }
            while let ticket = ready.popFirst() { finish(ticket, .failed(error)) }
            for ticket in tickets { finish(ticket, .failed(error)) }
            for errand in errands { errand.fail(error) }
        }

        /// Goes on without the connection, or only without its channel.
        private mutating func lose(_ failure: AMQPFailure) {
            trouble(failure.code, failure.text)
            known = [:]
            // The broker may have stored what it did not confirm.
            for ticket in ledger.drain() {
                let id = ticket.call.progress.envelopes[ticket.index].attributes.id
                finish(
                    ticket,
                    .failed(
                        TransportError(
                            .unavailable,
                            "The message '\(id)': the connection was lost before RabbitMQ confirmed it (\(failure.text)). It may be "
                                + "stored. Publish it again."
                        )))
            }
            if failure.isOfChannel, let connection {
                do throws(AMQPFailure) {
                    try connection.open(Self.messages)
                    return try connection.confirm(Self.messages)
                } catch {}
            }
            connection = nil
        }

        private mutating func runErrands() throws(AMQPFailure) {
            guard let connection else { return }
            while let errand = publisher.state.withLock({ $0.errands.popFirst() }) {
                beWatchedAside()
                do throws(AMQPFailure) {
                    try errand.run(connection)
                } catch {
                    if !error.isOfChannel { throw error }
                }
                if isAging { try read() }
            }
        }

        // MARK: Publishing

        private mutating func send() throws(AMQPFailure) {
            while ledger.count < Self.mostUnderWay {
                guard let ticket = ready.popFirst() ?? publisher.state.withLock({ $0.waiting.popFirst() }) else {
                    return
                }
                if ticket.call.progress.isOver { continue }
                try send(ticket)
                // So that the socket of the broker does not fill up with what it says.
                if ledger.count % 256 == 0 { try read() }
            }
        }

        /// Whether a good part of the time is over in which the oldest message is to be confirmed.
        private var isAging: Bool {
            guard let sentAt = ledger.oldestSentAt else { return false }
            return (now - sentAt) * 4 > settings.publishTimeout
        }

        private mutating func send(_ ticket: RabbitMQTicket) throws(AMQPFailure) {
            guard let connection, let message = ticket.call.records[ticket.index] else { return }
            let attributes = ticket.call.progress.envelopes[ticket.index].attributes
            let names: RabbitMQNames
            do throws(TransportError) {
                if let there = known[attributes.topic] {
                    names = there
                } else {
                    names = try RabbitMQNames(topic: attributes.topic, partitions: settings.topics.partitions)
                }
                guard message.headerByteCount <= connection.mostFrameBytes - 64 else {
                    throw TransportError(
                        .headersTooLarge,
                        "The message '\(attributes.id)' has \(message.headerByteCount) bytes of attributes and headers; the broker takes "
                            + "frames of \(connection.mostFrameBytes). Make them shorter."
                    )
                }
            } catch {
                return finish(ticket, .failed(error))
            }
            do throws(AMQPFailure) {
                try declare(names, connection)
            } catch {
                finish(ticket, .failed(error.error(of: "The topic '\(names.topic)'")))
                if error.isOfChannel { return }
                throw error
            }
            let key = attributes.partitionKey.map { PartitionHash.partition(of: $0, count: names.partitions) }
            if key == nil { keylessTurn = (keylessTurn + 1) % names.partitions }
            ledger.sent(ticket, id: message.eventID, exchange: names.exchange, at: now)
            // No message counts as late whose confirm is here.
            if isAging { try read() }
            beWatched()
            try connection.publish(
                message, to: names.exchange, key: "\(key ?? keylessTurn)",
                isMandatory: true, on: Self.messages)
        }

        private mutating func declare(
            _ names: RabbitMQNames, _ connection: AMQPConnection
        ) throws(AMQPFailure) {
            guard known[names.topic] == nil else { return }
            beWatchedAside()
            try connection.open(Self.topology)
            try RabbitMQTopology.declare(names, settings.topics, on: Self.topology, connection)
            known[names.topic] = names
        }

        private mutating func finish(_ ticket: RabbitMQTicket, _ result: PublishResult) {
            guard let next = ticket.call.progress.finish(ticket.index, result) else { return }
            ready.append(RabbitMQTicket(ticket.call, next))
        }

        // MARK: Confirms

        private mutating func read() throws(AMQPFailure) {
            while let event = try connection?.next() {
                switch event {
                case .confirmed(let number, let isMultiple, let isStored):
                    for (ticket, outcome) in ledger.confirm(upTo: number, isMultiple: isMultiple, isStored: isStored) {
                        finish(ticket, result(of: outcome, ticket))
                    }
                case .returned(let message, let exchange): ledger.returned(id: message.eventID, exchange: exchange)
                case .channelClosed(Self.messages, let failure): throw failure
                case .channelClosed, .delivery, .cancelled: continue
                }
            }
        }

        private func result(
            of outcome: ConfirmLedger<RabbitMQTicket>.Outcome, _ ticket: RabbitMQTicket
        ) -> PublishResult {
            let attributes = ticket.call.progress.envelopes[ticket.index].attributes
            switch outcome {
            case .stored: return .published
            case .unroutable where settings.unread == .dropped: return .published
            case .unroutable:
                return .failed(
                    TransportError(
                        .unroutable,
                        "The message '\(attributes.id)' was not stored: no group reads the topic '\(attributes.topic)'. Start one "
                            + "first, or have what nobody reads dropped."
                    ))
            case .refused:
                return .failed(
                    TransportError(
                        .unavailable,
                        "The message '\(attributes.id)' was not stored: a queue of '\(attributes.topic)' is full, or has lost too many of "
                            + "its nodes. Try again later."
                    ))
            }
        }

        /// Takes the connection for dead on which nothing was confirmed for too long.
        private mutating func giveUpLate() {
            guard let sentAt = ledger.oldestSentAt, now - sentAt > settings.publishTimeout else { return }
            trouble("timeout", "RabbitMQ confirmed nothing for \(settings.publishTimeout).")
            for ticket in ledger.drain() {
                let id = ticket.call.progress.envelopes[ticket.index].attributes.id
                finish(
                    ticket,
                    .failed(
                        TransportError(
                            .timedOut,
                            "The message '\(id)': RabbitMQ did not confirm it within \(settings.publishTimeout), and may have it all the "
                                + "same. Publish it again."
                        )))
            }
            connection?.abandon()
            connection = nil
            known = [:]
        }

        // MARK: The end

        private mutating func end() {
            publisher.state.withLock { $0.isClosed = true }
            failWaiting(with: RabbitMQPublisher.closed)
            for ticket in ledger.drain() {
                let id = ticket.call.progress.envelopes[ticket.index].attributes.id
                finish(
                    ticket,
                    .failed(
                        TransportError(
                            .closed,
                            "The message '\(id)': the transport was closed before RabbitMQ confirmed it. Publish it again with another one."
                        )))
            }
            // The broker is asked to close it in order, and may not answer.
            beWatched()
            connection = nil
            publisher.watch.stop()
            publisher.state.withLock { state in
                state.hasEnded = true
                return state.waiters.wakeAll()
            }.resume()
        }
    }

    extension Bool {
        /// Sets a value, and returns the one before.
        fileprivate mutating func exchange(_ value: Bool) -> Bool {
            defer { self = value }
            return self
        }
    }
#endif
