// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import Dovetail
    import Testing

    @testable import DovetailKafka

    @Suite(.timeLimit(.minutes(10)))
    struct KafkaOptionsTests {
        @Test(
            "An option that librdkafka does not take is named, its value is not",
            arguments: [
                ("no.such.option", "s3cret"), ("session.timeout.ms", "s3cret"), ("security.protocol", "s3cret"),
            ])
        func badOption(name: String, value: String) {
            let error = #expect(throws: TransportError.self) {
                try KafkaTransport("127.0.0.1:9", options: [name: value])
            }
            #expect(error?.code == .refused)
            #expect(error?.message.contains("'\(name)'") == true)
            #expect(error.map { !"\($0)".contains(value) } == true)
        }

        @Test(
            "Options that the promises rest on cannot be set",
            arguments: [
                "enable.auto.commit", "enable.idempotence", "acks", "group.id", "bootstrap.servers",
                "auto.offset.reset", "group.instance.id", "statistics.interval.ms",
                "delivery.report.only.error", "enabled_events",
            ])
        func reservedOption(name: String) {
            let error = #expect(throws: TransportError.self) {
                try KafkaTransport("127.0.0.1:9", options: [name: "false"])
            }
            #expect(error?.code == .refused)
            #expect(error?.message.contains("'\(name)'") == true)
        }

        @Test("Options for TLS and SASL are taken")
        func securityOptions() async throws {
            let transport = try KafkaTransport(
                "127.0.0.1:9",
                options: [
                    "security.protocol": "sasl_plaintext", "sasl.mechanisms": "PLAIN", "sasl.username": "u",
                    "sasl.password": "p",
                ])
            #expect(transport.capabilities.ordersPerKey)
            await transport.close()
        }

        @Test("Options for security that contradict each other are an error at once")
        func contradictionAtOnce() {
            let error = #expect(throws: TransportError.self) {
                try KafkaTransport("127.0.0.1:9", options: ["sasl.password": "s3cret"])
            }
            #expect(error?.code == .refused)
            #expect(error.map { !"\($0)".contains("s3cret") } == true)
        }

        @Test("Options that contradict each other are an error when a client is made")
        func contradiction() async throws {
            let transport = try KafkaTransport(
                "127.0.0.1:9", options: ["security.protocol": "ssl", "ssl.ca.location": "/no/such/file"])
            let error = await #expect(throws: TransportError.self) { try await transport.publish([envelope("0")]) }
            #expect(error?.code == .refused)
            await transport.close()
        }

        @Test("A cluster that cannot be reached is unavailable, and the error names the address")
        func unreachable() async throws {
            let transport = try KafkaTransport("127.0.0.1:9", connectTimeout: .milliseconds(500))
            let error = await #expect(throws: TransportError.self) {
                try await transport.subscribe(to: ["t"], as: "g")
            }
            #expect(error?.code == .unavailable)
            #expect(error?.message.contains("127.0.0.1:9") == true)
            let results = try await transport.publish([envelope("0", key: "a"), envelope("1", key: "a")])
            #expect(results[0].error?.code == .unavailable)
            #expect(results[1].error?.code == .notAttempted || results[1].error?.code == .unavailable)
            await transport.close()
        }

        @Test("When no connection comes about, the error says why")
        func noConnection() async throws {
            let cluster = try MockCluster()
            // It does not speak TLS.
            let transport = try KafkaTransport(
                cluster.address, connectTimeout: .seconds(2), options: ["security.protocol": "ssl"])
            let error = await #expect(throws: TransportError.self) {
                try await transport.subscribe(to: ["t"], as: "g")
            }
            #expect(error?.code == .unavailable)
            // Whether the handshake is refused or cut off is up to who answers it.
            let reasons = ["SSL handshake failed", "SSL_HANDSHAKE"]
            #expect(reasons.contains { error?.message.contains($0) == true }, "\(error as Any)")
            await transport.close()
        }

        @Test(
            "What librdkafka says has the code that tells what to do",
            arguments: [
                (RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, TransportError.Code.timedOut),
                (RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, .timedOut),
                (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, .messageTooLarge),
                (RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, .unknownTopic),
                (RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, .unknownTopic),
                (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, .refused),
                (RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, .refused),
                (RD_KAFKA_RESP_ERR__AUTHENTICATION, .refused),
                (RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, .refused),
                (RD_KAFKA_RESP_ERR_INVALID_RECORD, .invalidMessage),
                (RD_KAFKA_RESP_ERR__PURGE_QUEUE, .closed),
                (RD_KAFKA_RESP_ERR__FATAL, .unavailable),
                (RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, .unavailable),
                (RD_KAFKA_RESP_ERR__TRANSPORT, .unavailable),
                (rd_kafka_resp_err_t(rawValue: 9999), .unavailable),
            ])
        func codes(code: rd_kafka_resp_err_t, expected: TransportError.Code) {
            let error = TransportError(code, of: "The message '7'")
            #expect(error.code == expected)
            #expect(error.message.contains("The message '7'"))
        }

        @Test("A message that timed out may be published again, whatever trouble there was")
        func timedOutIsTransient() {
            let trouble = (RD_KAFKA_RESP_ERR__SSL, "handshake failed")
            let error = TransportError(RD_KAFKA_RESP_ERR__MSG_TIMED_OUT, of: "The message '7'", trouble: trouble)
            #expect(error.code.isTransient)
            #expect(error.message.contains("handshake failed"))
        }

        @Test("A subscription without topics is an error")
        func noTopics() async throws {
            let transport = try KafkaTransport("127.0.0.1:9")
            let error = await #expect(throws: TransportError.self) { try await transport.subscribe(to: [], as: "g") }
            #expect(error?.code == .unknownTopic)
            await transport.close()
        }
    }
#endif
