// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore
    import Synchronization

    /// A client of librdkafka, with what it tells through callbacks.
    final class KafkaHandle: @unchecked Sendable {
        // Safe to share: librdkafka lets any thread use a client until it is destroyed, and `destroy` is called once, by the
        // thread that runs the client, after all others have let go of it.
        let raw: OpaquePointer
        let reports: KafkaReports

        enum Role: Sendable {
            case producer, consumer

            fileprivate var type: rd_kafka_type_t { self == .producer ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER }
        }

        /// Creates a client; it connects by itself, and later.
        ///
        /// - Throws: ``TransportError`` with the code `refused` if librdkafka does not take the options.
        init(_ role: Role, options: KafkaOptions, settings: [(name: String, value: String)]) throws(TransportError) {
            let configuration = try options.makeConfiguration(with: settings)
            let security = SecurityOptions(options.options)
            let reports = KafkaReports(redactedBy: security)
            // Not retained: this client keeps it for as long as librdkafka has it.
            rd_kafka_conf_set_opaque(configuration, Unmanaged.passUnretained(reports).toOpaque())
            rd_kafka_conf_set_error_cb(configuration) { _, code, text, opaque in
                KafkaReports.from(opaque)?.add(
                    .trouble(
                        rd_kafka_resp_err_t(rawValue: code), text.map { String(cString: $0) } ?? "no details"))
            }
            rd_kafka_conf_set_throttle_cb(configuration, KafkaReports.throttled)
            rd_kafka_conf_set_stats_cb(configuration, KafkaReports.measured)
            switch role {
            case .producer:
                rd_kafka_conf_set_events(configuration, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR | RD_KAFKA_EVENT_STATS)
            case .consumer:
                rd_kafka_conf_set_rebalance_cb(configuration) { client, code, partitions, opaque in
                    KafkaReports.from(opaque)?.rebalance(client, code, partitions)
                }
                reports.watch(configuration)
            }
            var text = [CChar](repeating: 0, count: 512)
            guard let raw = rd_kafka_new(role.type, configuration, &text, text.count) else {
                rd_kafka_conf_destroy(configuration)
                throw TransportError(
                    .refused,
                    "librdkafka does not take the options: \(security.redacted(Self.string(text))). Correct them.")
            }
            self.raw = raw
            self.reports = reports
        }

        /// Ends the client without leaving its group; it must not be used any more.
        func destroy() {
            rd_kafka_destroy_flags(raw, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE)
        }

        static func string(_ text: [CChar]) -> String {
            String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    /// What a client told through callbacks, until the thread that runs it looks.
    final class KafkaReports: Sendable {
        struct PartitionName: Sendable, Hashable {
            let topic: String
            let number: Int32
        }

        enum Report: Sendable {
            case trouble(rd_kafka_resp_err_t, String)
            case throttled(broker: String, time: Duration)
            case measured(KafkaMeasurement)
            case assigned([PartitionName])
            case revoked([PartitionName], isLost: Bool)
            case rebalanceFailed(rd_kafka_resp_err_t)
        }

        private struct State: Sendable {
            var reports: [Report] = []
            var lastTrouble: (rd_kafka_resp_err_t, String)?
            var isJoining = false
        }

        private let security: SecurityOptions
        private let state = Mutex(State())

        init(redactedBy security: SecurityOptions) {
            self.security = security
        }

        fileprivate static func from(_ opaque: UnsafeMutableRawPointer?) -> KafkaReports? {
            opaque.map { Unmanaged<KafkaReports>.fromOpaque($0).takeUnretainedValue() }
        }

        /// The newest trouble, to explain what fails because of it.
        var lastTrouble: (rd_kafka_resp_err_t, String)? { state.withLock { $0.lastTrouble } }

        func add(_ report: Report) {
            var report = report
            if case .trouble(let code, let text) = report { report = .trouble(code, security.redacted(text)) }
            state.withLock { state in
                // That all brokers are down follows from trouble with each, which says why.
                if case .trouble(let code, let text) = report,
                    code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || state.lastTrouble == nil
                {
                    state.lastTrouble = (code, text)
                }
                state.reports.append(report)
            }
        }

        /// Adds what librdkafka measured, as JSON.
        func add(statistics json: Bytes) {
            add(
                KafkaMeasurement(json: json).map { .measured($0) }
                    ?? .trouble(RD_KAFKA_RESP_ERR__BAD_MSG, "The statistics of librdkafka cannot be read."))
        }

        /// Whether the member has asked to join the group anew and does not yet know its partitions.
        ///
        /// What is committed meanwhile may reach the group when it has gone on to its next generation. librdkafka then takes all
        /// partitions for lost, and everybody reads again what was not committed.
        var isJoining: Bool { state.withLock { $0.isJoining } }

        func take() -> [Report] {
            state.withLock { state in
                defer { state.reports = [] }
                return state.reports
            }
        }

        /// Takes what librdkafka says when a broker has the client wait, since it uses more than its quota.
        static let throttled:
            @convention(c) (OpaquePointer?, UnsafePointer<CChar>?, Int32, Int32, UnsafeMutableRawPointer?) -> Void = {
                _, broker, _, milliseconds, opaque in
                KafkaReports.from(opaque)?.add(
                    .throttled(
                        broker: broker.map { String(cString: $0) } ?? "", time: .milliseconds(Int(milliseconds))))
            }

        /// Takes what librdkafka measured, as JSON.
        static let measured:
            @convention(c) (OpaquePointer?, UnsafeMutablePointer<CChar>?, Int, UnsafeMutableRawPointer?) -> Int32 = {
                _, text, count, opaque in
                let bytes = UnsafeRawBufferPointer(start: text, count: text == nil ? 0 : count)
                KafkaReports.from(opaque)?.add(statistics: Bytes(bytes))
                // The text stays with librdkafka.
                return 0
            }

        /// The numbers of requests in the protocol.
        private static let (joinGroup, syncGroup): (Int16, Int16) = (11, 14)

        /// Has the requests by which a member joins its group noticed, of which librdkafka itself does not tell.
        fileprivate func watch(_ configuration: OpaquePointer) {
            rd_kafka_conf_interceptor_add_on_new(
                configuration, "dovetail",
                { client, _, opaque, _, _ in
                    rd_kafka_interceptor_add_on_request_sent(
                        client, "dovetail",
                        { _, _, _, _, request, _, _, _, opaque in
                            if request == KafkaReports.joinGroup { KafkaReports.from(opaque)?.set(isJoining: true) }
                            return RD_KAFKA_RESP_ERR_NO_ERROR
                        }, opaque)
                    rd_kafka_interceptor_add_on_response_received(
                        client, "dovetail",
                        { _, _, _, _, request, _, _, _, _, _, opaque in
                            if request == KafkaReports.syncGroup { KafkaReports.from(opaque)?.set(isJoining: false) }
                            return RD_KAFKA_RESP_ERR_NO_ERROR
                        }, opaque)
                    return RD_KAFKA_RESP_ERR_NO_ERROR
                }, Unmanaged.passUnretained(self).toOpaque())
        }

        private func set(isJoining: Bool) {
            state.withLock { $0.isJoining = isJoining }
        }

        fileprivate func rebalance(
            _ client: OpaquePointer?, _ code: rd_kafka_resp_err_t,
            _ partitions: UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?
        ) {
            let names = partitions.map { PartitionList.names(of: $0) } ?? []
            switch code {
            case RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS: add(.assigned(names))
            case RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS:
                add(.revoked(names, isLost: rd_kafka_assignment_lost(client) == 1))
            default: add(.rebalanceFailed(code))
            }
        }
    }

    /// Lists of partitions as librdkafka has them.
    enum PartitionList {
        static func names(of list: UnsafePointer<rd_kafka_topic_partition_list_t>) -> [KafkaReports.PartitionName] {
            (0..<Int(list.pointee.cnt)).map { index in
                let element = list.pointee.elems[index]
                return KafkaReports.PartitionName(topic: String(cString: element.topic), number: element.partition)
            }
        }

        /// Calls a body with a list that lives as long as the call.
        static func with<Result>(
            _ partitions: [(name: KafkaReports.PartitionName, offset: Int64)],
            _ body: (UnsafeMutablePointer<rd_kafka_topic_partition_list_t>?) -> Result
        ) -> Result {
            let list = rd_kafka_topic_partition_list_new(Int32(clamping: partitions.count))
            defer { rd_kafka_topic_partition_list_destroy(list) }
            for (name, offset) in partitions {
                rd_kafka_topic_partition_list_add(list, name.topic, name.number)?.pointee.offset = offset
            }
            return body(list)
        }
    }
#endif
