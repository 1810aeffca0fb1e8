// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import Dovetail
    import DovetailTesting
    import Testing

    @testable import DovetailKafka

    @Suite("Kafka is there if it must be")
    struct KafkaPresenceTests {
        @Test("Where services are required, a broker is named")
        func brokerIsNamed() {
            #expect(!Broker.isRequired || !Broker.isMissing, Broker.whyMissing)
        }
    }

    @Suite(.serialized, .disabled(if: Broker.isMissing, Broker.whyMissing), .timeLimit(.minutes(3)))
    struct KafkaConformanceTests {
        @Test("The Kafka transport conforms", arguments: TransportCheck.allCases)
        func conforms(_ check: TransportCheck) async throws {
            let transport = try Broker.connect()
            try await check.run(
                on: transport, patience: TransportCheck.Patience(arrival: .seconds(30), silence: .milliseconds(300)))
            await transport.close()
        }
    }
#endif
