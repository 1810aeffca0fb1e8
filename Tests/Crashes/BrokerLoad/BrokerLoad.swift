// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailKafka
import DovetailRabbitMQ
import DovetailSQLite
import ExampleSupport
import Foundation

/// A producer or a consumer of numbered messages, to be killed and started again; see `Tests/Crashes/brokers`.
@main
enum BrokerLoad {
    private static let program = Program("BrokerLoad")

    static func main() async {
        let options = program.options { (reader) throws(UsageError) in try Options(reader) }
        if options.help { program.finish(Options.usage) }
        #if SQLite
            do {
                try await run(options)
            } catch {
                program.fail("\(error)", status: 70)
            }
        #else
            program.fail("it was built without SQLite; build it with '--traits SQLite,Kafka,RabbitMQ'.", status: 69)
        #endif
    }

    #if SQLite
        private static func run(_ options: Options) async throws {
            let rows = LoadRows(options.database)
            try await rows.open()
            try await withTransport(options) { bus in
                switch options.role {
                case .producer: try await Services(LoadProducer(bus: bus, rows: rows, options: options)).run()
                case .consumer: try await Services(LoadConsumer(bus: bus, rows: rows, options: options)).run()
                }
            }
            await rows.close()
        }

        private static func withTransport(
            _ options: Options, _ body: (any Transport) async throws -> Void
        ) async throws {
            if options.transport.hasPrefix("kafka:") {
                #if Kafka
                    let kafka = try KafkaTransport(
                        String(options.transport.dropFirst("kafka:".count)), topics: .onDemand(partitions: 8),
                        // Some brokers for tests never take a dead member out of its group, so each comes back under its name.
                        instance: options.member, publishTimeout: .seconds(10), handoverTime: .seconds(2),
                        options: [
                            "session.timeout.ms": "6000", "heartbeat.interval.ms": "300",
                            "max.poll.interval.ms": "6000", "reconnect.backoff.max.ms": "500",
                        ])
                    try await body(kafka)
                    await kafka.close()
                #else
                    program.fail("it was built without Kafka.", status: 69)
                #endif
            } else {
                #if RabbitMQ
                    let rabbit = try RabbitMQTransport(
                        options.transport, topics: .onDemand(partitions: 8), publishTimeout: .seconds(10),
                        heartbeat: .seconds(2), handoverTime: .seconds(2))
                    try await body(rabbit)
                    await rabbit.close()
                #else
                    program.fail("it was built without RabbitMQ.", status: 69)
                #endif
            }
        }
    #endif
}
