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

        @Test("Where services are required, the client of others is named")
        func clientIsNamed() {
            #expect(!Broker.isRequired || !Interop.isMissing, Interop.whyMissing)
        }
    }

    @Suite(.serialized, .disabled(if: Broker.isMissing, Broker.whyMissing), .timeLimit(.minutes(10)))
    struct KafkaConformanceTests {
        @Test("Kafka: the transport conforms", arguments: TransportCheck.allCases)
        func conforms(_ check: TransportCheck) async throws {
            // The broker refuses what is committed between the moment when a member joins and the moment when the others hear of
            // it; Kafka does not. Such a refusal has librdkafka take partitions for lost and read them again. So nothing is
            // committed here but when partitions are given up; the checks on the cluster within the process commit all the time.
            // The backlog is counted from what was committed.
            let transport = try Broker.connect(
                commitInterval: check == .backlogIsCounted ? .milliseconds(20) : .seconds(600))
            try await check.run(
                on: transport, patience: TransportCheck.Patience(arrival: .seconds(30), silence: .milliseconds(300)))
            await transport.close()
        }
    }
#endif
