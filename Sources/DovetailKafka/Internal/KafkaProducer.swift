// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import Dispatch
    import DovetailCore

    typealias KafkaCall = PublishCall<OutgoingRecord>
    typealias KafkaTicket = PublishTicket<OutgoingRecord>

    /// The side of a transport that publishes: one client, with a thread that reads its delivery reports.
    final class KafkaProducer: Sendable {
        private struct State: Sendable {
            /// Messages for which librdkafka had no room, in order.
            var blocked = RingBuffer<KafkaTicket>()
            /// How many tasks are in a call of librdkafka.
            var sending = 0
            var hasFailed = false
            var isStopping = false
            /// Nothing is sent any more.
            var isClosed = false
            var hasEnded = false
            var waiters = WaiterList()
        }

        private enum Sent {
            case underWay
            case noRoom
            case failed(TransportError)
        }

        let handle: KafkaHandle
        private let queue: KafkaQueue
        private let topics = KafkaTopics()
        private let state = Monitor(State())
        private let lastSent = DispatchSemaphore(value: 0)
        private let flushTimeout: Duration
        private let runtime: Runtime

        init(options: KafkaOptions, settings: KafkaSettings, runtime: Runtime) throws(TransportError) {
            flushTimeout = settings.closeTimeout
            self.runtime = runtime
            // What names and lengths add to a message, and what a batch adds to its messages.
            let frame = 64 * 1024
            handle = try KafkaHandle(
                .producer, options: options,
                settings: [
                    ("enable.idempotence", "true"),
                    ("acks", "all"),
                    ("statistics.interval.ms", settings.statisticsMilliseconds(runtime)),
                    ("message.timeout.ms", "\(settings.publishTimeout.milliseconds)"),
                    ("message.max.bytes", "\(settings.mostMessageBytes + frame)"),
                    // The partition of a key is the one that clients in Java choose.
                    ("partitioner", "murmur2_random"),
                    // A message of a key waits for the one before it: waiting for company would only hold up both.
                    ("linger.ms", "0"),
                    ("queue.buffering.max.messages", "50000"),
                    ("queue.buffering.max.kbytes", "\(max(131_072, settings.mostMessageBytes / 512))"),
                ])
            guard let raw = rd_kafka_queue_get_main(handle.raw) else {
                handle.destroy()
                throw TransportError(.unavailable, "librdkafka gave no queue. Free memory and try again.")
            }
            queue = KafkaQueue(raw)
        }

        /// Starts the thread; the producer lives until it is stopped.
        func start() throws(TransportError) {
            guard BlockingThread.start({ self.run() }) == 0 else {
                queue.destroy()
                handle.destroy()
                throw TransportError(.unavailable, "The system gave no thread to publish with. Try again.")
            }
        }

        /// Whether it can no longer publish, so that another one has to.
        var hasFailed: Bool { state.withLock { $0.hasFailed || $0.isStopping } }

        // MARK: Publishing

        func publish(_ call: KafkaCall, _ indices: [Int]) {
            send(indices.map { KafkaTicket(call, $0) })
        }

        private enum Admission: Sendable {
            case admitted, queued, refused
        }

        /// Sends messages; asks once for all whether that is possible, since all who send ask the same lock.
        private func send(_ tickets: [KafkaTicket]) {
            let admission = state.withLock { state -> Admission in
                if state.isClosed { return .refused }
                if !state.blocked.isEmpty {
                    for ticket in tickets { state.blocked.append(ticket) }
                    return .queued
                }
                state.sending += 1
                return .admitted
            }
            switch admission {
            case .queued: return
            case .refused:
                for ticket in tickets { finish(ticket, Self.closed(ticket)) }
                return
            case .admitted: break
            }
            var failures: [(ticket: KafkaTicket, error: TransportError)] = []
            var recent = KafkaTopics.Recent()
            let blocked = tickets.firstIndex { ticket in
                if ticket.call.progress.isOver { return false }
                switch produce(ticket, &recent) {
                case .underWay: return false
                case .noRoom: return true
                case .failed(let error):
                    failures.append((ticket, error))
                    return false
                }
            }
            let isLast = state.withLock { state in
                state.sending -= 1
                if let blocked { for ticket in tickets[blocked...] { state.blocked.append(ticket) } }
                return state.isClosed && state.sending == 0
            }
            if isLast { lastSent.signal() }
            // The report that makes room may have come already.
            if blocked != nil { queue.yield() }
            for (ticket, error) in failures { finish(ticket, error) }
        }

        private func finish(_ ticket: KafkaTicket, _ error: TransportError) {
            // What follows a failed one fails with it, so there is nothing to send next.
            _ = ticket.call.progress.finish(ticket.index, .failed(error))
        }

        private static func closed(_ ticket: KafkaTicket) -> TransportError {
            let id = ticket.call.progress.envelopes[ticket.index].attributes.id
            return TransportError(.closed, "The transport was closed. Publish the message '\(id)' with another one.")
        }

        private func produce(_ ticket: KafkaTicket, _ recent: inout KafkaTopics.Recent) -> Sent {
            guard let record = ticket.call.records[ticket.index] else { return .underWay }
            let code =
                if let topic = recent.handle(of: record.topic, in: topics, for: handle) {
                    KafkaWriter.produce(record, to: topic, opaque: ticket, with: handle.raw)
                } else {
                    rd_kafka_last_error()
                }
            switch code {
            case RD_KAFKA_RESP_ERR_NO_ERROR: return .underWay
            case RD_KAFKA_RESP_ERR__QUEUE_FULL: return .noRoom
            case let code:
                let id = ticket.call.progress.envelopes[ticket.index].attributes.id
                return .failed(
                    TransportError(lookForFailure() ? RD_KAFKA_RESP_ERR__FATAL : code, of: "The message '\(id)'"))
            }
        }

        // MARK: The thread

        private static let pollTime: Int32 = 200

        private func run() {
            while !state.withLock({ $0.isStopping }) {
                poll(Self.pollTime)
                sendBlocked()
            }
            let (isSending, blocked) = state.withLock { state in
                state.isClosed = true
                var blocked: [KafkaTicket] = []
                while let ticket = state.blocked.popFirst() { blocked.append(ticket) }
                return (state.sending > 0, blocked)
            }
            if isSending { lastSent.wait() }
            for ticket in blocked { finish(ticket, Self.closed(ticket)) }
            flush()
            topics.destroy()
            queue.destroy()
            handle.destroy()
            state.withLock { state in
                state.hasEnded = true
                return state.waiters.wakeAll()
            }.resume()
        }

        private func poll(_ milliseconds: Int32) {
            defer { for report in handle.reports.take() { report.tell(runtime.instrument, group: nil) } }
            // What comes by callbacks is no event, and comes within the call.
            guard let event = rd_kafka_queue_poll(queue.raw, milliseconds) else { return }
            defer { rd_kafka_event_destroy(event) }
            switch rd_kafka_event_type(event) {
            case RD_KAFKA_EVENT_DR:
                while let message = rd_kafka_event_message_next(event) { report(message) }
            case RD_KAFKA_EVENT_ERROR:
                let code = rd_kafka_event_error(event)
                let text = rd_kafka_event_error_string(event).map { String(cString: $0) } ?? ""
                handle.reports.add(.trouble(code, text))
                lookForFailure()
            case RD_KAFKA_EVENT_STATS:
                if let text = rd_kafka_event_stats(event) {
                    handle.reports.add(statistics: Bytes(String(cString: text).utf8))
                }
            default: break
            }
        }

        /// Notes if the client can never publish again.
        @discardableResult
        private func lookForFailure() -> Bool {
            var text: [CChar] = [0, 0]
            let hasFailed = rd_kafka_fatal_error(handle.raw, &text, text.count) != RD_KAFKA_RESP_ERR_NO_ERROR
            if hasFailed { state.withLock { $0.hasFailed = true } }
            return hasFailed
        }

        /// Takes a delivery report.
        private func report(_ report: UnsafePointer<rd_kafka_message_t>) {
            let message = report.pointee
            guard let opaque = message._private else { return }
            let ticket = Unmanaged<KafkaTicket>.fromOpaque(opaque).takeRetainedValue()
            var result = PublishResult.published
            if message.err != RD_KAFKA_RESP_ERR_NO_ERROR {
                let id = ticket.call.progress.envelopes[ticket.index].attributes.id
                // What is lost with a client that failed for good can be published with the next one.
                let code = lookForFailure() ? RD_KAFKA_RESP_ERR__FATAL : message.err
                result = .failed(
                    .unpublished(
                        code, of: "The message '\(id)'", rd_kafka_message_status(report),
                        trouble: handle.reports.lastTrouble))
            }
            if let next = ticket.call.progress.finish(ticket.index, result) { send([KafkaTicket(ticket.call, next)]) }
        }

        private func sendBlocked() {
            var recent = KafkaTopics.Recent()
            while let ticket = state.withLock({ $0.blocked.first }) {
                if !ticket.call.progress.isOver {
                    switch produce(ticket, &recent) {
                    case .noRoom: return
                    case .underWay: break
                    case .failed(let error): finish(ticket, error)
                    }
                }
                _ = state.withLock { $0.blocked.popFirst() }
            }
        }

        /// Has what is under way sent, for as long as it may take; what is then left fails.
        private func flush() {
            let start = runtime.time.monotonic()
            while rd_kafka_outq_len(handle.raw) > 0, runtime.time.monotonic() - start < flushTimeout { poll(50) }
            rd_kafka_purge(handle.raw, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT)
            for _ in 0..<100 where rd_kafka_outq_len(handle.raw) > 0 { poll(50) }
        }

        // MARK: The end

        /// Has the client fail for good; for tests.
        func fail() {
            rd_kafka_test_fatal_error(handle.raw, RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, "for a test")
        }

        /// Has the thread send what is under way, and end.
        func stop() {
            state.withLock { $0.isStopping = true }
            queue.yield()
        }

        /// Waits until the thread has ended.
        func waitForEnd() async {
            _ = try? await state.wait(in: \.waiters) { $0.hasEnded ? () : nil }
        }
    }
#endif
