// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import Dovetail

    /// Notes what comes, and acknowledges it once it is noted.
    struct LoadConsumer: Service {
        let bus: any Transport
        let rows: LoadRows
        let options: Options

        func run() async throws {
            try await read(from: bus)
        }

        private func read(from bus: some Transport) async throws {
            let member = try await subscribe(to: bus)
            try await rows.note(ready: options.member)
            do {
                while true {
                    let deliveries = try await member.next(atMost: 16)
                    if deliveries.isEmpty { break }
                    try await rows.note(arrived: deliveries.compactMap { number(of: $0) }, at: options.member)
                    try await member.settle(deliveries.map { .acknowledge($0.id) })
                }
            } catch is CancellationError {
                // What is in hand goes back.
            } catch {
                await member.close()
                throw error
            }
            await member.close()
        }

        /// Tries until the broker is there: it may be started again just now.
        private func subscribe<Bus: Transport>(to bus: Bus) async throws -> Bus.Subscription {
            while true {
                do {
                    return try await bus.subscribe(to: [Topic(options.topic)], as: ConsumerGroup(options.topic))
                } catch let error as TransportError where error.code.isTransient {
                    try await SystemTime().sleep(for: .milliseconds(200))
                }
            }
        }

        private func number(of delivery: Delivery) -> (key: Int, number: Int)? {
            let parts = delivery.envelope?.id.rawValue.split(separator: "-").compactMap { Int($0) } ?? []
            return parts.count == 2 ? (parts[0], parts[1]) : nil
        }
    }
#endif
