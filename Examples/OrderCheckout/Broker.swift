// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailKafka
import DovetailRabbitMQ

/// What carries the messages of lasting premises: a broker, or a bus beside the rows.
struct Broker {
    let options: Options

    /// Opens the bus and hands all over; the one beside the databases unless another was named.
    func open<DB: ShopDatabase, Local: BacklogReportingTransport, Visitor: PremisesVisitor>(
        sites: [Site<DB>], local: Local, relays: any RelayMaker<DB> = TableRelays<DB>(), for visitor: Visitor
    ) async throws -> Visitor.Result {
        switch options.transport {
        case .kafka(let address): try await openKafka(address, sites, relays, for: visitor)
        case .rabbitMQ(let address): try await openRabbitMQ(address, sites, relays, for: visitor)
        case .local:
            try await visitor.visit(Premises(bus: local, sites: sites, relays: relays, isLasting: true))
        }
    }

    #if Kafka
        private func openKafka<DB: ShopDatabase, Visitor: PremisesVisitor>(
            _ address: String, _ sites: [Site<DB>], _ relays: any RelayMaker<DB>, for visitor: Visitor
        ) async throws -> Visitor.Result {
            // After six seconds, the least that brokers allow, a member that was killed is taken for dead, and the others do not
            // wait longer for it to take part when the partitions are dealt out anew.
            let settings = [
                "session.timeout.ms": "6000", "max.poll.interval.ms": "6000", "heartbeat.interval.ms": "500",
            ]
            let kafka = try KafkaTransport(
                address, topics: .onDemand(partitions: 6), instance: options.member, handoverTime: .seconds(2),
                options: settings
            )
            let result: Result<Visitor.Result, any Error>
            do {
                result = .success(try await use(kafka, sites, relays, for: visitor))
            } catch let error as TransportError {
                result = .failure(Unusable(message: "Kafka at \(address): \(error.message)"))
            } catch {
                result = .failure(error)
            }
            await kafka.close()
            return try result.get()
        }
    #else
        private func openKafka<DB: ShopDatabase, Visitor: PremisesVisitor>(
            _ address: String, _ sites: [Site<DB>], _ relays: any RelayMaker<DB>, for visitor: Visitor
        ) async throws -> Visitor.Result {
            throw Unusable(
                message: "this program was built without Kafka, which is at \(address). "
                    + "Run 'swift run --traits SQLite,Kafka OrderCheckout …'.")
        }
    #endif

    #if RabbitMQ
        private func openRabbitMQ<DB: ShopDatabase, Visitor: PremisesVisitor>(
            _ address: String, _ sites: [Site<DB>], _ relays: any RelayMaker<DB>, for visitor: Visitor
        ) async throws -> Visitor.Result {
            let result: Result<Visitor.Result, any Error>
            do {
                // Every event has one service that reads it, and one whose queue is not there yet is tried again.
                let rabbit = try RabbitMQTransport(
                    address, topics: .onDemand(partitions: 4), handoverTime: .seconds(2))
                do {
                    result = .success(try await use(rabbit, sites, relays, for: visitor))
                } catch {
                    await rabbit.close()
                    throw error
                }
                await rabbit.close()
            } catch let error as TransportError {
                result = .failure(Unusable(message: error.message))
            } catch {
                result = .failure(error)
            }
            return try result.get()
        }
    #else
        private func openRabbitMQ<DB: ShopDatabase, Visitor: PremisesVisitor>(
            _ address: String, _ sites: [Site<DB>], _ relays: any RelayMaker<DB>, for visitor: Visitor
        ) async throws -> Visitor.Result {
            // The address is not shown: it may hold a password.
            throw Unusable(
                message: "this program was built without RabbitMQ. "
                    + "Run 'swift run --traits SQLite,RabbitMQ OrderCheckout …'.")
        }
    #endif

    private func use<DB: ShopDatabase, Visitor: PremisesVisitor>(
        _ bus: some BacklogReportingTransport, _ sites: [Site<DB>], _ relays: any RelayMaker<DB>, for visitor: Visitor
    ) async throws -> Visitor.Result {
        try await reach(bus)
        // Names of its own, so that what other runs left on the broker is none of this one's business.
        let name = try await runName(in: sites)
        return try await visitor.visit(
            Premises(
                bus: NamespacedTransport(bus, prefix: name + "."), sites: sites, relays: relays, isLasting: true,
                run: name))
    }

    /// Asks the broker for something, to hear at once if there is none.
    private func reach(_ bus: some BacklogReportingTransport) async throws {
        do {
            _ = try await bus.backlog(of: "order-checkout", on: [OrderPlaced.topic])
        } catch let error as TransportError where error.code == .unknownTopic {
            // There is one that knows nothing of this shop yet.
        }
    }

    /// The name of the run: the one that was given, or one that whoever comes first makes up for all who share the databases.
    ///
    /// It is kept beside the rows, so that nobody goes on with them under another name, where their messages are not.
    func runName<DB: ShopDatabase>(in sites: [Site<DB>]) async throws -> String {
        let given = options.run?.text
        let name = given ?? "order-checkout-\(Runtime.current.makeUUID())"
        var run: String?
        for site in sites {
            let wanted = run ?? name
            let kept = try await site.database.withTransaction { tx in
                let table = site.database.table("run", of: String.self)
                if let kept = try await table.get("name", in: tx) { return kept }
                try await table.put(wanted, at: "name", in: tx)
                return wanted
            }
            guard kept == (run ?? given ?? kept) else {
                throw Unusable(
                    message: "the rows of the service \(site.name.rawValue) belong to the run '\(kept)', not "
                        + "'\(wanted)'. Go on with --run \(kept), or name another --database.")
            }
            run = kept
        }
        return run ?? name
    }
}
