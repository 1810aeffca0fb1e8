// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailKafka
import DovetailPostgreSQL
import DovetailRabbitMQ
import DovetailSQL
import DovetailSQLite
import Foundation

/// Something that is done on premises of whatever kind.
protocol PremisesVisitor<Result>: Sendable {
    associatedtype Result: Sendable

    func visit<DB: ShopDatabase, Bus: BacklogReportingTransport>(_ premises: Premises<DB, Bus>) async throws -> Result

    /// Whether nobody will go on with what this has done.
    func isEnd(_ result: Result) -> Bool
}

extension PremisesVisitor {
    func isEnd(_ result: Result) -> Bool { false }
}

/// Premises that outlive the process, or reach beyond it: databases in files or on a server, a bus beside them or a broker.
struct Lasting {
    let options: Options

    /// Opens the premises that the options name, and closes them afterwards.
    func open<Visitor: PremisesVisitor>(for visitor: Visitor) async throws -> Visitor.Result {
        switch options.database {
        case .memory:
            try await withBus(
                order: InMemoryDatabase(), payment: InMemoryDatabase(), inventory: InMemoryDatabase(),
                local: InMemoryTransport(), visitor: visitor
            )
        case .sqlite(let path): try await openFiles(FileNames(path), for: visitor)
        case .postgresql(let address): try await openServer(address, for: visitor)
        }
    }

    #if PostgreSQL
        private func openServer<Visitor: PremisesVisitor>(
            _ address: String, for visitor: Visitor
        ) async throws -> Visitor.Result {
            // One server is enough for an example. In earnest each service has a database of its own.
            let configuration = PostgresConfiguration(mostConnections: options.workers + 4, longestWait: .seconds(10))
            func make(_ name: String, _ outbox: PostgresOutbox = .table) -> PostgresDatabase {
                PostgresDatabase(
                    address, configuration: configuration, settings: SQLSettings(prefix: "\(name)_", service: name),
                    outbox: outbox)
            }
            let outbox: PostgresOutbox = options.relay == .log ? .log : .table
            let (order, payment) = (make("order", outbox), make("payment", outbox))
            let (inventory, rows) = (make("inventory", outbox), make("bus"))
            let shop = ["order": order, "payment": payment, "inventory": inventory]
            let bus = SQLTransport(
                in: rows,
                settings: SQLTransportSettings(lease: .seconds(options.lease), pollInterval: .milliseconds(20)))
            // Before the outbox can write to the log.
            let start = make("order")
            let result: Result<Visitor.Result, any Error>
            do {
                try await options.relay.note(in: start)
                // Nothing is made for a run that is refused.
                _ = try await IntakePosition.found(in: start, options)
                let logs = options.relay == .log ? LogRelays(run: try await runName(in: start)) : nil
                try await logs?.prepare(shop, bus: bus)
                for database in [order, payment, inventory, rows] { try await database.open() }
                let relays: any RelayMaker<PostgresDatabase> =
                    if let logs { logs } else { TableRelays<PostgresDatabase>() }
                let done = try await withBus(
                    order: order, payment: payment, inventory: inventory, local: bus, relays: relays, visitor: visitor)
                if visitor.isEnd(done) { try await logs?.remove(shop, bus: bus) }
                result = .success(done)
            } catch let error as DatabaseError where Self.unusable.contains(error.code) {
                result = .failure(Unusable(message: error.message))
            } catch {
                result = .failure(error)
            }
            for database in [order, payment, inventory, rows, start] { await database.close() }
            return try result.get()
        }

        private static var unusable: Set<DatabaseError.Code> {
            [.unavailable, .cannotOpen, .foreignSchema, .unsupported, .logLost, .readOnlyDatabase]
        }
    #else
        private func openServer<Visitor: PremisesVisitor>(
            _ address: String, for visitor: Visitor
        ) async throws -> Visitor.Result {
            throw Unusable(
                message:
                    "this program was built without PostgreSQL. Run 'swift run --traits PostgreSQL OrderCheckout …'.")
        }
    #endif

    #if SQLite
        private func openFiles<Visitor: PremisesVisitor>(
            _ names: FileNames, for visitor: Visitor
        ) async throws -> Visitor.Result {
            let order = SQLiteDatabase(names.file(for: "order"), settings: SQLSettings(service: "order"))
            let payment = SQLiteDatabase(names.file(for: "payment"), settings: SQLSettings(service: "payment"))
            let inventory = SQLiteDatabase(names.file(for: "inventory"), settings: SQLSettings(service: "inventory"))
            let databases = [order, payment, inventory]
            do {
                for database in databases { try await database.open() }
            } catch let error as DatabaseError {
                throw Unusable(message: "\(error.message)")
            }
            let bus = SQLiteDatabase(names.file(for: "bus"))
            let settings = SQLTransportSettings(lease: .seconds(options.lease))
            let result: Result<Visitor.Result, any Error>
            do {
                result = .success(
                    try await withBus(
                        order: order, payment: payment, inventory: inventory,
                        local: SQLTransport(in: bus, settings: settings), visitor: visitor))
            } catch {
                result = .failure(error)
            }
            await bus.close()
            for database in databases { await database.close() }
            return try result.get()
        }
    #else
        private func openFiles<Visitor: PremisesVisitor>(
            _ names: FileNames, for visitor: Visitor
        ) async throws -> Visitor.Result {
            throw Unusable(
                message: "this program was built without SQLite. Run 'swift run --traits SQLite OrderCheckout …'.")
        }
    #endif

    /// Opens the bus and hands all over; the one beside the databases unless another was named.
    private func withBus<DB: ShopDatabase, Local: BacklogReportingTransport, Visitor: PremisesVisitor>(
        order: DB, payment: DB, inventory: DB, local: Local, relays: any RelayMaker<DB> = TableRelays<DB>(),
        visitor: Visitor
    ) async throws -> Visitor.Result {
        func visit(_ bus: some BacklogReportingTransport) async throws -> Visitor.Result {
            try await visitor.visit(
                Premises(
                    bus: bus, order: order, payment: payment, inventory: inventory, relays: relays, isLasting: true))
        }
        switch options.transport {
        case .kafka(let address):
            #if Kafka
                // After six seconds, the least that brokers allow, a member that was killed is taken for dead, and the others
                // do not wait longer for it to take part when the partitions are dealt out anew.
                var settings = [
                    "session.timeout.ms": "6000", "max.poll.interval.ms": "6000", "heartbeat.interval.ms": "500",
                ]
                settings["group.instance.id"] = options.member
                let kafka = try KafkaTransport(
                    address, topics: .onDemand(partitions: 6), handoverTime: .seconds(2), options: settings
                )
                let result: Result<Visitor.Result, any Error>
                do {
                    try await reach(kafka)
                    // Names of its own, so that what other runs left on the broker is none of this one's business.
                    let prefix = try await runName(in: order) + "."
                    result = .success(try await visit(NamespacedTransport(kafka, prefix: prefix)))
                } catch let error as TransportError {
                    result = .failure(Unusable(message: "Kafka at \(address): \(error.message)"))
                } catch {
                    result = .failure(error)
                }
                await kafka.close()
                return try result.get()
            #else
                throw Unusable(
                    message: "this program was built without Kafka, which is at \(address). "
                        + "Run 'swift run --traits SQLite,Kafka OrderCheckout …'.")
            #endif
        case .rabbitMQ(let address):
            #if RabbitMQ
                // Every event has one service that reads it, and one whose queue is not there yet is tried again.
                let result: Result<Visitor.Result, any Error>
                do {
                    let rabbit = try RabbitMQTransport(
                        address, topics: .onDemand(partitions: 4), handoverTime: .seconds(2))
                    do {
                        try await reach(rabbit)
                        // Names of its own, so that what other runs left on the broker is none of this one's business.
                        let prefix = try await runName(in: order) + "."
                        result = .success(try await visit(NamespacedTransport(rabbit, prefix: prefix)))
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
            #else
                // The address is not shown: it may hold a password.
                _ = address
                throw Unusable(
                    message: "this program was built without RabbitMQ. "
                        + "Run 'swift run --traits SQLite,RabbitMQ OrderCheckout …'.")
            #endif
        case .local: return try await visit(local)
        }
    }

    /// Asks the broker for something, to hear at once if there is none.
    private func reach(_ bus: some BacklogReportingTransport) async throws {
        do {
            _ = try await bus.backlog(of: "order-checkout", on: [OrderPlaced.topic])
        } catch let error as TransportError where error.code == .unknownTopic {
            // There is one that knows nothing of this shop yet.
        }
    }

    /// The name of the run that is kept in the database of the order service, made by whoever comes first.
    private func runName<DB: ShopDatabase>(in database: DB) async throws -> String {
        try await database.withTransaction { tx in
            let table = database.table("run", of: String.self)
            if let name = try await table.get("name", in: tx) { return name }
            let name = "order-checkout-\(Runtime.current.makeUUID())"
            try await table.put(name, at: "name", in: tx)
            return name
        }
    }
}

/// The files of the services beside the one that was named: `shop-order.db` for `shop.db`.
struct FileNames {
    private let stem: String
    private let ending: String

    init(_ path: String) {
        let url = URL(fileURLWithPath: path)
        ending = url.pathExtension.isEmpty ? "db" : url.pathExtension
        stem = url.pathExtension.isEmpty ? path : String(path.dropLast(ending.count + 1))
    }

    func file(for part: String) -> String { "\(stem)-\(part).\(ending)" }
}

/// A whole run: takes the orders in, runs the services, and audits the books.
struct WholeRun: PremisesVisitor {
    let options: Options
    let file: OpenFile
    let bookkeeper: Bookkeeper
    let onProgress: @Sendable (Int, Int) -> Void

    func visit<DB: ShopDatabase, Bus: BacklogReportingTransport>(_ premises: Premises<DB, Bus>) async throws -> Outcome
    {
        try await watched(premises, options, bookkeeper, telling: onProgress) { shop in try await shop.run(file) }
    }

    func isEnd(_ result: Outcome) -> Bool { result.audit.isClean }
}

/// Some of the services, beside a whole run or a tour on the same premises.
struct MemberRun: PremisesVisitor {
    let options: Options
    let services: Set<Options.ServiceName>

    func visit<DB: ShopDatabase, Bus: BacklogReportingTransport>(_ premises: Premises<DB, Bus>) async throws {
        do {
            try await watched(premises, options, Bookkeeper()) { shop in try await shop.runServices(services) }
        } catch let error as DatabaseError where error.code == .closed && options.relay == .log {
            // The run beside which this works has ended, and has taken its slots back.
        }
    }
}

/// Makes a shop that tells whoever kills it where it stands.
private func watched<DB: ShopDatabase, Bus: Transport, Result>(
    _ premises: Premises<DB, Bus>, _ options: Options, _ bookkeeper: Bookkeeper,
    telling onProgress: @escaping @Sendable (Int, Int) -> Void = { _, _ in },
    _ body: (Shop<DB, WatchedBus<Bus>>) async throws -> Result
) async throws -> Result {
    let points = CrashPoints.fromEnvironment()
    var instruments: [any Instrument] = [bookkeeper]
    if let points { instruments.append(points) }
    let shop = Shop(
        options: options, bookkeeper: bookkeeper,
        premises: Premises(
            bus: WatchedBus(inner: premises.bus, points: points, isFromLog: options.relay == .log),
            order: premises.order, payment: premises.payment, inventory: premises.inventory, relays: premises.relays,
            isLasting: premises.isLasting
        ),
        crashPoints: points, onProgress: onProgress
    )
    return try await Runtime.$current.withValue(Runtime(instrument: InstrumentGroup(instruments))) {
        try await body(shop)
    }
}
