// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import CRabbitMQ
    import DovetailCore

    #if canImport(Darwin)
        import Darwin
    #elseif canImport(Musl)
        import Musl
    #else
        import Glibc
    #endif

    /// A connection of librabbitmq; for one thread, which its calls block.
    final class AMQPConnection {
        /// What comes from the broker without being asked for.
        enum Event {
            case delivery(channel: UInt16, tag: UInt64, AMQPMessage)
            case confirmed(upTo: UInt64, isMultiple: Bool, isStored: Bool)
            case returned(AMQPMessage, exchange: String)
            /// The broker ended a subscription, since its queue is gone.
            case cancelled(channel: UInt16)
            case channelClosed(channel: UInt16, AMQPFailure)
        }

        private let state: amqp_connection_state_t
        private var openChannels: Set<UInt16> = []
        /// The name of the last subscription of each channel.
        private var subscriptions: [UInt16: String] = [:]
        private var subscriptionCount = 0
        /// Whether the connection is of no use, so that it cannot be closed in order.
        private var isBroken = true

        /// Connects and logs in.
        init(_ settings: RabbitMQSettings, purpose: String) throws(TransportError) {
            guard let state = amqp_new_connection() else {
                throw TransportError(.unavailable, "librabbitmq gave no connection. Free memory and try again.")
            }
            self.state = state
            let address = settings.address
            var status = AMQP_STATUS_OK.rawValue
            let socket =
                address.isTLS
                ? dovetail_amqp_tls_socket(
                    state, settings.tls.authority ?? RabbitMQTLS.systemAuthority, settings.tls.certificate,
                    settings.tls.key, settings.tls.verifiesHost ? 1 : 0, &status)
                : amqp_tcp_socket_new(state)
            let subject = "RabbitMQ at \(address)"
            guard let socket, status == AMQP_STATUS_OK.rawValue else {
                let failure = AMQPFailure(
                    cause: .library(status: socket == nil ? AMQP_STATUS_UNSUPPORTED.rawValue : status))
                throw failure.error(of: subject)
            }
            var limit = Self.time(settings.connectTimeout)
            amqp_set_handshake_timeout(state, &limit)
            amqp_set_rpc_timeout(state, &limit)
            status = amqp_socket_open_noblock(socket, address.host, Int32(address.port), &limit)
            guard status == AMQP_STATUS_OK.rawValue else {
                let error = AMQPFailure(cause: .library(status: status)).error(of: subject)
                guard error.code == .refused else {
                    throw TransportError(
                        .unavailable,
                        "RabbitMQ cannot be reached at \(address) (\(String(cString: amqp_error_string2(status)))). "
                            + "Check that it runs and that the address is right."
                    )
                }
                throw error
            }
            let heartbeat = Int32(clamping: max(1, settings.heartbeat.nanoseconds / 1_000_000_000))
            // Without this, the broker says nothing when it deletes a queue that is read.
            let reply = AMQPTable.with([(name: "consumer_cancel_notify", value: .boolean(true))]) { abilities in
                AMQPTable.with([
                    (name: "connection_name", value: .text("dovetail \(purpose)")),
                    (name: "capabilities", value: .table(abilities)),
                ]) { table in
                    withUnsafePointer(to: table) { table in
                        settings.tls.isLogin
                            ? dovetail_amqp_login_external(state, address.virtualHost, heartbeat, table, address.user)
                            : dovetail_amqp_login(
                                state, address.virtualHost, heartbeat, table, address.user, address.password)
                    }
                }
            }
            do throws(AMQPFailure) { try Self.check(reply) } catch {
                throw error.error(of: subject)
            }
            isBroken = false
        }

        deinit {
            if !isBroken { amqp_connection_close(state, AMQP_REPLY_SUCCESS) }
            amqp_destroy_connection(state)
        }

        /// Ends without a word to the broker, as a process that is killed does.
        func abandon() { isBroken = true }

        /// The socket, to wait for.
        var socket: Int32 { amqp_get_sockfd(state) }

        /// By which another thread can cut the connection; `nil` if the system gives no more files to the process.
        private(set) lazy var cutter: AMQPCutter? = AMQPCutter(of: socket)

        /// The largest frame, in bytes.
        var mostFrameBytes: Int { Int(amqp_get_frame_max(state)) }

        /// The highest number of a channel that the broker and we agreed on.
        var mostChannels: UInt16 {
            let most = amqp_get_channel_max(state)
            // Zero stands for no limit.
            return most > 0 ? UInt16(clamping: most) : .max
        }

        private static func time(_ duration: Duration) -> timeval {
            let microseconds = max(1, duration.nanoseconds / 1000)
            return timeval(
                tv_sec: numericCast(microseconds / 1_000_000), tv_usec: numericCast(microseconds % 1_000_000))
        }

        // MARK: Answers

        private static func check(_ reply: amqp_rpc_reply_t) throws(AMQPFailure) {
            switch reply.reply_type {
            case AMQP_RESPONSE_NORMAL: return
            case AMQP_RESPONSE_SERVER_EXCEPTION: throw failure(reply.reply)
            case AMQP_RESPONSE_LIBRARY_EXCEPTION: throw AMQPFailure(cause: .library(status: reply.library_error))
            default: throw AMQPFailure(cause: .library(status: AMQP_STATUS_UNEXPECTED_STATE.rawValue))
            }
        }

        private static func failure(_ method: amqp_method_t) -> AMQPFailure {
            guard let decoded = method.decoded else {
                return AMQPFailure(cause: .library(status: AMQP_STATUS_UNEXPECTED_STATE.rawValue))
            }
            if method.id == dovetail_amqp_channel_close {
                let fields = decoded.assumingMemoryBound(to: amqp_channel_close_t.self).pointee
                return AMQPFailure(
                    cause: .channelClosed(code: Int(fields.reply_code), text: AMQPTable.text(fields.reply_text)))
            }
            let fields = decoded.assumingMemoryBound(to: amqp_connection_close_t.self).pointee
            return AMQPFailure(
                cause: .connectionClosed(code: Int(fields.reply_code), text: AMQPTable.text(fields.reply_text)))
        }

        /// Looks at the answer to the call that was just made on a channel.
        private func check(_ channel: UInt16) throws(AMQPFailure) {
            do { try Self.check(amqp_get_rpc_reply(state)) } catch {
                note(error, channel)
                throw error
            }
        }

        private func check(status: Int32) throws(AMQPFailure) {
            guard status < 0 else { return }
            let failure = AMQPFailure(cause: .library(status: status))
            // What is too large was not sent.
            if status != AMQP_STATUS_TABLE_TOO_BIG.rawValue { note(failure, 0) }
            throw failure
        }

        private func note(_ failure: AMQPFailure, _ channel: UInt16) {
            guard failure.isOfChannel else {
                isBroken = true
                return
            }
            openChannels.remove(channel)
            var answer = amqp_channel_close_ok_t()
            amqp_send_method(state, channel, dovetail_amqp_channel_close_ok, &answer)
        }

        // MARK: Channels

        func isOpen(_ channel: UInt16) -> Bool { openChannels.contains(channel) }

        func open(_ channel: UInt16) throws(AMQPFailure) {
            guard !openChannels.contains(channel) else { return }
            amqp_channel_open(state, channel)
            try check(channel)
            openChannels.insert(channel)
        }

        /// Closes a channel; what it had in hand goes back to its queue, in its order.
        func close(_ channel: UInt16) throws(AMQPFailure) {
            guard openChannels.remove(channel) != nil else { return }
            do { try Self.check(amqp_channel_close(state, channel, AMQP_REPLY_SUCCESS)) } catch {
                if !error.isOfChannel { isBroken = true }
                throw error
            }
        }

        /// Has the broker confirm what is published on a channel.
        func confirm(_ channel: UInt16) throws(AMQPFailure) {
            amqp_confirm_select(state, channel)
            try check(channel)
        }

        // MARK: Exchanges and queues

        typealias Arguments = [(name: String, value: AMQPTable.Value)]

        func declareExchange(
            _ name: String, type: String, arguments: Arguments = [], passive: Bool = false, on channel: UInt16
        ) throws(AMQPFailure) {
            AMQPTable.with(name) { name in
                AMQPTable.with(type) { type in
                    AMQPTable.with(arguments) { table in
                        _ = amqp_exchange_declare(state, channel, name, type, passive ? 1 : 0, 1, 0, 0, table)
                    }
                }
            }
            try check(channel)
        }

        /// - Returns: How many messages wait, and how many consumers there are.
        @discardableResult
        func declareQueue(
            _ name: String, arguments: Arguments = [], passive: Bool = false, isLasting: Bool = true,
            on channel: UInt16
        ) throws(AMQPFailure) -> (messages: Int, consumers: Int) {
            // Always durable: newer brokers take no other queue that connections share. One that does not last goes with
            // its last consumer.
            let counts = AMQPTable.with(name) { name in
                AMQPTable.with(arguments) { table in
                    amqp_queue_declare(
                        state, channel, name, passive ? 1 : 0, 1, 0, isLasting ? 0 : 1, table
                    ).map { (Int($0.pointee.message_count), Int($0.pointee.consumer_count)) }
                }
            }
            try check(channel)
            return counts ?? (0, 0)
        }

        func bind(_ queue: String, to exchange: String, key: String, on channel: UInt16) throws(AMQPFailure) {
            AMQPTable.with(queue) { queue in
                AMQPTable.with(exchange) { exchange in
                    AMQPTable.with(key) { key in
                        _ = amqp_queue_bind(state, channel, queue, exchange, key, amqp_table_t())
                    }
                }
            }
            try check(channel)
        }

        func deleteQueue(_ queue: String, on channel: UInt16) throws(AMQPFailure) {
            AMQPTable.with(queue) { queue in _ = amqp_queue_delete(state, channel, queue, 0, 0) }
            try check(channel)
        }

        // MARK: Messages

        func publish(
            _ message: AMQPMessage, to exchange: String, key: String, isMandatory: Bool, on channel: UInt16
        ) throws(AMQPFailure) {
            let status = AMQPTable.with(exchange) { exchange in
                AMQPTable.with(key) { key in
                    AMQPTable.with(message.headers.map { (name: $0.name, value: .text($0.value)) }) { table in
                        AMQPTable.with(message.contentType ?? "") { contentType in
                            AMQPTable.with(message.messageID ?? "") { id in
                                message.body.withUnsafeBytes { body in
                                    AMQPTable.with(body) { body in
                                        var properties = amqp_basic_properties_t()
                                        var flags = AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG
                                        // Written to disk.
                                        properties.delivery_mode = 2
                                        properties.headers = table
                                        if message.contentType != nil {
                                            flags |= AMQP_BASIC_CONTENT_TYPE_FLAG
                                            properties.content_type = contentType
                                        }
                                        if message.messageID != nil {
                                            flags |= AMQP_BASIC_MESSAGE_ID_FLAG
                                            properties.message_id = id
                                        }
                                        properties._flags = amqp_flags_t(flags)
                                        return amqp_basic_publish(
                                            state, channel, exchange, key, isMandatory ? 1 : 0, 0, &properties, body)
                                    }
                                }
                            }
                        }
                    }
                }
            }
            try check(status: status)
        }

        /// Subscribes to a queue.
        ///
        /// Only so many messages are under way that are not settled; without a prefetch they need no settling.
        func consume(_ queue: String, prefetch: Int?, on channel: UInt16) throws(AMQPFailure) {
            if let prefetch {
                amqp_basic_qos(state, channel, 0, UInt16(clamping: prefetch), 0)
                try check(channel)
            }
            // Each has a name of its own, so that what came before a channel was closed is not taken for what comes over the
            // next one with its number: the library keeps what comes while it waits for the channel to be closed.
            subscriptionCount += 1
            let name = "\(subscriptionCount)"
            subscriptions[channel] = name
            AMQPTable.with(queue) { queue in
                AMQPTable.with(name) { name in
                    _ = amqp_basic_consume(
                        state, channel, queue, name, 0, prefetch == nil ? 1 : 0, 0, amqp_table_t())
                }
            }
            try check(channel)
        }

        func tell(_ word: SettlementLine.Word, on channel: UInt16) throws(AMQPFailure) {
            let status =
                switch word {
                case .acknowledge(let tag): amqp_basic_ack(state, channel, tag, 1)
                case .acknowledgeOne(let tag): amqp_basic_ack(state, channel, tag, 0)
                case .reject(let tag): amqp_basic_reject(state, channel, tag, 0)
                }
            try check(status: status)
        }

        // MARK: Reading

        /// Reads what has come, and looks after the heartbeats; never waits for the beginning of anything.
        ///
        /// - Returns: `nil` if nothing is there.
        func next() throws(AMQPFailure) -> Event? {
            while true {
                var frame = amqp_frame_t()
                var none = timeval()
                amqp_maybe_release_buffers(state)
                let status = amqp_simple_wait_frame_noblock(state, &frame, &none)
                if status == AMQP_STATUS_TIMEOUT.rawValue { return nil }
                try check(status: status)
                guard frame.frame_type == UInt8(AMQP_FRAME_METHOD) else { continue }
                if let event = try event(frame.payload.method, frame.channel) { return event }
            }
        }

        private func event(_ method: amqp_method_t, _ channel: UInt16) throws(AMQPFailure) -> Event? {
            guard let decoded = method.decoded else { return nil }
            switch method.id {
            case dovetail_amqp_basic_deliver:
                let fields = decoded.assumingMemoryBound(to: amqp_basic_deliver_t.self).pointee
                let isCurrent = isCurrent(fields.consumer_tag, channel)
                let delivered = try message(on: channel)
                return isCurrent ? .delivery(channel: channel, tag: fields.delivery_tag, delivered) : nil
            case dovetail_amqp_basic_ack:
                let fields = decoded.assumingMemoryBound(to: amqp_basic_ack_t.self).pointee
                return .confirmed(upTo: fields.delivery_tag, isMultiple: fields.multiple != 0, isStored: true)
            case dovetail_amqp_basic_nack:
                let fields = decoded.assumingMemoryBound(to: amqp_basic_nack_t.self).pointee
                return .confirmed(upTo: fields.delivery_tag, isMultiple: fields.multiple != 0, isStored: false)
            case dovetail_amqp_basic_return:
                let exchange = AMQPTable.text(
                    decoded.assumingMemoryBound(to: amqp_basic_return_t.self).pointee.exchange)
                return .returned(try message(on: channel), exchange: exchange)
            case dovetail_amqp_basic_cancel:
                let fields = decoded.assumingMemoryBound(to: amqp_basic_cancel_t.self).pointee
                return isCurrent(fields.consumer_tag, channel) ? .cancelled(channel: channel) : nil
            case dovetail_amqp_channel_close:
                let failure = Self.failure(method)
                note(failure, channel)
                return .channelClosed(channel: channel, failure)
            case dovetail_amqp_connection_close:
                let failure = Self.failure(method)
                note(failure, 0)
                throw failure
            default: return nil
            }
        }

        /// Whether a subscription is the last one of its channel.
        private func isCurrent(_ subscription: amqp_bytes_t, _ channel: UInt16) -> Bool {
            subscriptions[channel] == AMQPTable.text(subscription)
        }

        /// Reads the message that follows the method just read.
        private func message(on channel: UInt16) throws(AMQPFailure) -> AMQPMessage {
            var message = amqp_message_t()
            do { try Self.check(amqp_read_message(state, channel, &message, 0)) } catch {
                note(error, channel)
                throw error
            }
            defer { amqp_destroy_message(&message) }
            let properties = message.properties
            func text(_ flag: Int32, _ bytes: amqp_bytes_t) -> String? {
                properties._flags & amqp_flags_t(flag) != 0 ? AMQPTable.text(bytes) : nil
            }
            return AMQPMessage(
                contentType: text(AMQP_BASIC_CONTENT_TYPE_FLAG, properties.content_type),
                messageID: text(AMQP_BASIC_MESSAGE_ID_FLAG, properties.message_id),
                headers: properties._flags & amqp_flags_t(AMQP_BASIC_HEADERS_FLAG) != 0
                    ? AMQPTable.headers(of: properties.headers) : [],
                body: Bytes(AMQPTable.bytes(message.body)))
        }
    }
#endif
