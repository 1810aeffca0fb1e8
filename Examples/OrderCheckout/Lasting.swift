// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailPostgreSQL
import DovetailSQL
import DovetailSQLite
import ExampleSupport
import Foundation

/// Premises that outlive the process, or reach beyond it: databases in files or on a server, a bus beside them or a broker.
struct Lasting {
    let options: Options

    /// Opens the premises of the services that the options name, and closes them afterwards.
    func open<Visitor: PremisesVisitor>(for visitor: Visitor) async throws -> Visitor.Result {
        switch options.openServices.first.map(options.database) ?? options.database {
        case .memory:
            try await Broker(options: options).open(
                sites: options.openServices.map { Site(name: $0, database: InMemoryDatabase()) },
                local: InMemoryTransport(), for: visitor
            )
        case .sqlite: try await openFiles(for: visitor)
        case .postgresql: try await openServer(for: visitor)
        }
    }

    /// Reads the books of the three services, each from its own database; nothing runs, and nothing is made that is not there.
    ///
    /// - Throws: ``Unusable`` if one of them has no rows there.
    func readBooks() async throws -> Books {
        var books = Books()
        for service in Options.ServiceName.allCases {
            switch options.database(of: service) {
            case .memory: throw Unusable(message: "what was in memory ended with the process.")
            case .sqlite(let path): try await read(service, path: path, into: &books)
            case .postgresql(let address): try await read(service, address: address, into: &books)
            }
        }
        return books
    }

    #if PostgreSQL
        private func openServer<Visitor: PremisesVisitor>(for visitor: Visitor) async throws -> Visitor.Result {
            // One server is enough for an example. In earnest each service has a database of its own.
            let outbox: PostgresOutbox = options.relay == .log ? .log : .table
            let sites = options.openServices.compactMap { service -> Site<PostgresDatabase>? in
                guard case .postgresql(let address) = options.database(of: service) else { return nil }
                return Site(name: service, database: database(service.rawValue, address, outbox))
            }
            let place = if case .postgresql(let address) = options.database { address } else { "" }
            return try await visit(
                sites, bus: database("bus", place), pollInterval: .milliseconds(20),
                relays: { try await relays(of: sites, bus: $0) }, visitor, closing: { await $0.close() }
            )
        }

        /// Notes by which relay the run publishes, and has the server keep its log if it is that one.
        private func relays(
            of sites: [Site<PostgresDatabase>], bus: some Transport
        ) async throws -> any RelayMaker<PostgresDatabase> {
            // By handles whose outbox is a table: one that writes to the log needs it to be kept already.
            let plain = sites.compactMap { site -> Site<PostgresDatabase>? in
                guard case .postgresql(let address) = options.database(of: site.name) else { return nil }
                return Site(name: site.name, database: database(site.name.rawValue, address))
            }
            let result: Result<any RelayMaker<PostgresDatabase>, any Error>
            do {
                if let order = plain.first(where: { $0.name == .order }) {
                    try await options.relay.note(in: order.database)
                    // Nothing is prepared for a run that will not be.
                    if options.services == nil, !options.resume,
                        try await IntakePosition.table(in: order.database).get(IntakePosition.key) != nil
                    {
                        throw Unusable.earlierRun
                    }
                }
                if options.relay == .log {
                    let logs = LogRelays(run: try await Broker(options: options).runName(in: plain))
                    try await logs.prepare(sites, bus: bus)
                    result = .success(logs)
                } else {
                    result = .success(TableRelays<PostgresDatabase>())
                }
            } catch {
                result = .failure(error)
            }
            for site in plain { await site.database.close() }
            return try result.get()
        }

        private func read(_ service: Options.ServiceName, address: String, into books: inout Books) async throws {
            try await read(service, database(service.rawValue, address), prefix: "\(service.rawValue)_", into: &books) {
                await $0.close()
            }
        }

        private func database(
            _ name: String, _ address: String, _ outbox: PostgresOutbox = .table
        ) -> PostgresDatabase {
            let configuration = PostgresConfiguration(mostConnections: options.workers + 4, longestWait: .seconds(10))
            return PostgresDatabase(
                address, configuration: configuration, settings: SQLSettings(prefix: "\(name)_", service: name),
                outbox: outbox)
        }
    #else
        private static var withoutPostgreSQL: Unusable {
            Unusable(
                message:
                    "this program was built without PostgreSQL. Run 'swift run --traits PostgreSQL OrderCheckout …'.")
        }

        private func openServer<Visitor: PremisesVisitor>(for visitor: Visitor) async throws -> Visitor.Result {
            throw Self.withoutPostgreSQL
        }

        private func read(_ service: Options.ServiceName, address: String, into books: inout Books) async throws {
            throw Self.withoutPostgreSQL
        }
    #endif

    #if SQLite
        private func openFiles<Visitor: PremisesVisitor>(for visitor: Visitor) async throws -> Visitor.Result {
            let sites = options.openServices.compactMap { service in
                file(of: service).map { Site(name: service, database: database(service, $0)) }
            }
            let place = if case .sqlite(let path) = options.database { FileNames(path).file(for: "bus") } else { "" }
            return try await visit(sites, bus: SQLiteDatabase(place), pollInterval: nil, visitor) { await $0.close() }
        }

        private func read(_ service: Options.ServiceName, path: String, into books: inout Books) async throws {
            let file = file(of: service) ?? path
            guard FileManager.default.fileExists(atPath: file) else {
                throw Unusable(message: "there is no file '\(file)' with the books of the service \(service.rawValue).")
            }
            try await read(service, database(service, file), prefix: "dovetail_", into: &books) { await $0.close() }
        }

        private func database(_ service: Options.ServiceName, _ file: String) -> SQLiteDatabase {
            SQLiteDatabase(file, settings: SQLSettings(service: service.rawValue))
        }

        /// The file of a service: the one that was named for it, or one beside that of all.
        private func file(of service: Options.ServiceName) -> String? {
            if case .sqlite(let path)? = options.ownDatabases[service] { return path }
            guard case .sqlite(let path) = options.database else { return nil }
            return FileNames(path).file(for: service.rawValue)
        }
    #else
        private static var withoutSQLite: Unusable {
            Unusable(message: "this program was built without SQLite. Run 'swift run --traits SQLite OrderCheckout …'.")
        }

        private func openFiles<Visitor: PremisesVisitor>(for visitor: Visitor) async throws -> Visitor.Result {
            throw Self.withoutSQLite
        }

        private func read(_ service: Options.ServiceName, path: String, into books: inout Books) async throws {
            throw Self.withoutSQLite
        }
    #endif

    /// Opens databases, hands all over with a bus, and closes what was opened.
    private func visit<Pool: SQLConnectionPool, Visitor: PremisesVisitor>(
        _ sites: [Site<SQLDatabase<Pool>>], bus: SQLDatabase<Pool>, pollInterval: Duration?,
        relays makeRelays: (SQLTransport<Pool>) async throws -> any RelayMaker<SQLDatabase<Pool>> = { _ in
            TableRelays<SQLDatabase<Pool>>()
        },
        _ visitor: Visitor, closing close: (SQLDatabase<Pool>) async -> Void
    ) async throws -> Visitor.Result {
        var settings = SQLTransportSettings(lease: .seconds(options.lease))
        if let pollInterval { settings.pollInterval = pollInterval }
        let local = SQLTransport(in: bus, settings: settings)
        let result: Result<Visitor.Result, any Error>
        do {
            let relays: any RelayMaker<SQLDatabase<Pool>>
            do {
                relays = try await makeRelays(local)
                for site in sites { try await site.database.open() }
            } catch let error as DatabaseError {
                throw Unusable(message: error.message)
            }
            let done = try await Broker(options: options).open(
                sites: sites, local: local, relays: relays, for: visitor)
            if visitor.isEnd(done) { try await relays.end(sites, bus: local) }
            result = .success(done)
        } catch let error as DatabaseError where Self.unusable.contains(error.code) {
            result = .failure(Unusable(message: error.message))
        } catch {
            result = .failure(error)
        }
        await close(bus)
        for site in sites { await close(site.database) }
        return try result.get()
    }

    private static var unusable: Set<DatabaseError.Code> {
        [.unavailable, .cannotOpen, .foreignSchema, .unsupported, .logLost, .readOnlyDatabase]
    }

    /// Reads the books of one service, if they are there.
    private func read<Pool: SQLConnectionPool>(
        _ service: Options.ServiceName, _ database: SQLDatabase<Pool>, prefix: String, into books: inout Books,
        closing close: (SQLDatabase<Pool>) async -> Void
    ) async throws {
        var read = Books()
        let result: Result<Void, any Error>
        do {
            // The first use of a database makes the tables of the library; here they must have been made.
            _ = try await database.pool.withConnection(for: .reading) { connection in
                try await connection.run(SQLStatement("SELECT 1 FROM \(prefix)rows LIMIT 1", []))
            }
            read = books
            try await read.read(Site(name: service, database: database))
            result = .success(())
        } catch let error as DatabaseError {
            result = .failure(
                Unusable(message: "the books of the service \(service.rawValue) cannot be read: \(error.message)"))
        } catch {
            result = .failure(error)
        }
        await close(database)
        try result.get()
        books = read
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
