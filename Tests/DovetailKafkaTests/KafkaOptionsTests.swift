// SPDX-License-Identifier: Apache-2.0

#if Kafka
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
                "auto.offset.reset",
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

        @Test("A subscription without topics is an error")
        func noTopics() async throws {
            let transport = try KafkaTransport("127.0.0.1:9")
            let error = await #expect(throws: TransportError.self) { try await transport.subscribe(to: [], as: "g") }
            #expect(error?.code == .unknownTopic)
            await transport.close()
        }
    }
#endif
