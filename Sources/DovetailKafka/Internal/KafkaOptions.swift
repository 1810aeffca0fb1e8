// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import DovetailCore

    /// How all clients of a transport connect.
    struct KafkaOptions: Sendable {
        let servers: String
        /// Options of librdkafka by their names.
        let options: [String: String]

        /// What the promises of the transport rest on, and what has a parameter of its own.
        private static let reserved: Set<String> = [
            "bootstrap.servers", "metadata.broker.list", "group.id", "enable.auto.commit", "auto.commit.enable",
            "enable.auto.offset.store", "auto.offset.reset", "enable.idempotence", "acks", "request.required.acks",
            "message.timeout.ms", "delivery.timeout.ms", "transactional.id", "message.max.bytes", "opaque",
            "group.instance.id", "statistics.interval.ms", "delivery.report.only.error", "enabled_events",
        ]

        init(servers: String, options: [String: String]) throws(TransportError) {
            self.servers = servers
            self.options = options
            if let name = options.keys.filter(Self.reserved.contains).min() {
                throw TransportError(
                    .refused,
                    "The option '\(name)' is set by the transport itself. Leave it out; what may differ is a parameter of KafkaTransport."
                )
            }
            try SecurityOptions(options).check()
            rd_kafka_conf_destroy(try makeConfiguration(with: []))
        }

        /// Makes what librdkafka takes to create a client.
        ///
        /// - Parameter settings: What the role needs; an option of the user comes before them.
        /// - Returns: A configuration that the caller owns.
        /// - Throws: ``TransportError`` with the code `refused`, naming the option that is not taken.
        func makeConfiguration(with settings: [(name: String, value: String)]) throws(TransportError) -> OpaquePointer {
            guard let configuration = rd_kafka_conf_new() else {
                throw TransportError(.unavailable, "librdkafka gave no configuration. Free memory and try again.")
            }
            // It would write to the standard error; what matters comes as reports. Whoever debugs wants to see all.
            if options["debug"] == nil { rd_kafka_conf_set_log_cb(configuration, nil) }
            do {
                try set("bootstrap.servers", to: servers, in: configuration)
                for setting in settings where options[setting.name] == nil {
                    try set(setting.name, to: setting.value, in: configuration)
                }
                for (name, value) in options.sorted(by: { $0.key < $1.key }) {
                    try set(name, to: value, in: configuration)
                }
            } catch {
                rd_kafka_conf_destroy(configuration)
                throw error
            }
            return configuration
        }

        private func set(_ name: String, to value: String, in configuration: OpaquePointer) throws(TransportError) {
            var text = [CChar](repeating: 0, count: 512)
            guard rd_kafka_conf_set(configuration, name, value, &text, text.count) != RD_KAFKA_CONF_OK else { return }
            // The text may quote the value, which may be a secret.
            throw TransportError(
                .refused,
                "The option '\(name)' is not one that librdkafka \(String(cString: rd_kafka_version_str())) takes, or its value is "
                    + "none of those it may have. See its CONFIGURATION.md."
            )
        }
    }

    extension Duration {
        /// Whole milliseconds, at least 1, as C libraries take them.
        var milliseconds: Int32 { Int32(clamping: max(1, nanoseconds / 1_000_000)) }
    }
#endif
