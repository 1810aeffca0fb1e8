// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dovetail
    import DovetailTesting
    import Testing

    @testable import DovetailRabbitMQ

    @Suite("RabbitMQ is there if it must be")
    struct RabbitMQPresenceTests {
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
    struct RabbitMQConformanceTests {
        @Test("RabbitMQ: the transport conforms", arguments: TransportCheck.allCases)
        func conforms(_ check: TransportCheck) async throws {
            let transport = try Broker.connect()
            try await check.run(
                on: transport, patience: TransportCheck.Patience(arrival: .seconds(30), silence: .milliseconds(300)))
            await transport.close()
        }
    }
#endif
