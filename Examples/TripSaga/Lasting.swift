// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailPostgreSQL
import DovetailSQL
import DovetailSQLite
import ExampleSupport

/// Something that is done in a city whose books are kept in whatever kind of database.
protocol CityVisitor<Result>: Sendable {
    associatedtype Result: Sendable

    func visit<DB: CityDatabase, Bus: Transport>(_ database: DB, _ bus: Bus) async throws -> Result
}

/// A city whose books outlive the process, by the machine's clock.
struct Lasting {
    let options: Options

    /// What this machine or this build does not allow.
    struct Unusable: Error {
        let message: String
    }

    /// Opens the books that the options name, and closes them afterwards.
    func open<Visitor: CityVisitor>(for visitor: Visitor) async throws -> Visitor.Result {
        switch options.database {
        case .memory: throw Unusable(message: "what is in memory does not outlive the process. Name a --database.")
        case .sqlite(let path): try await openFile(path, for: visitor)
        case .postgresql(let address): try await openServer(address, for: visitor)
        }
    }

    #if SQLite
        private func openFile<Visitor: CityVisitor>(
            _ path: String, for visitor: Visitor
        ) async throws -> Visitor.Result {
            let database = SQLiteDatabase(path, settings: SQLSettings(service: "trips"))
            let bus = SQLiteDatabase(path + "-bus")
            return try await visit(database, bus: bus, visitor) {
                await bus.close()
                await database.close()
            }
        }
    #else
        private func openFile<Visitor: CityVisitor>(
            _ path: String, for visitor: Visitor
        ) async throws -> Visitor.Result {
            throw Unusable(
                message: "this program was built without SQLite. Run 'swift run --traits SQLite TripSaga …'.")
        }
    #endif

    #if PostgreSQL
        private func openServer<Visitor: CityVisitor>(
            _ address: String, for visitor: Visitor
        ) async throws -> Visitor.Result {
            let database = PostgresDatabase(
                address, configuration: PostgresConfiguration(mostConnections: 16, longestWait: .seconds(10)),
                settings: SQLSettings(prefix: "trips_", service: "trips"))
            let bus = PostgresDatabase(
                address, configuration: PostgresConfiguration(mostConnections: 8, longestWait: .seconds(10)),
                settings: SQLSettings(prefix: "bus_")
            )
            return try await visit(database, bus: bus, visitor) {
                await bus.close()
                await database.close()
            }
        }
    #else
        private func openServer<Visitor: CityVisitor>(
            _ address: String, for visitor: Visitor
        ) async throws -> Visitor.Result {
            throw Unusable(
                message: "this program was built without PostgreSQL. Run 'swift run --traits PostgreSQL TripSaga …'.")
        }
    #endif

    #if SQLite || PostgreSQL
        private func visit<Pool: SQLConnectionPool, Visitor: CityVisitor>(
            _ database: SQLDatabase<Pool>, bus: SQLDatabase<Pool>, _ visitor: Visitor,
            closing close: () async -> Void
        ) async throws -> Visitor.Result {
            do {
                try await database.open()
                try await bus.open()
            } catch let error as DatabaseError {
                await close()
                throw Unusable(message: error.message)
            }
            let settings = SQLTransportSettings(lease: .seconds(2), pollInterval: .milliseconds(50))
            let result: Result<Visitor.Result, any Error>
            do {
                result = .success(try await visitor.visit(database, SQLTransport(in: bus, settings: settings)))
            } catch {
                result = .failure(error)
            }
            await close()
            return try result.get()
        }
    #endif
}

/// What an engine process does until it is stopped or killed.
struct EngineProcess: CityVisitor {
    let options: Options

    func visit<DB: CityDatabase, Bus: Transport>(_ database: DB, _ bus: Bus) async throws {
        let points = TripPoints.fromEnvironment()
        let services = TripServices(database: database, bus: bus, options: options, points: points)
        try await Runtime.$current.withValue(Runtime(instrument: points)) {
            try await Services(services, Orphanage()).run()
        }
    }
}

/// A whole run: starts the trips, has them run here or by other processes, and audits the books.
struct WholeRun: CityVisitor {
    /// For how long nothing may end before the run is given up.
    private static let patience = Duration.seconds(120)

    let options: Options

    func visit<DB: CityDatabase, Bus: Transport>(_ database: DB, _ bus: Bus) async throws -> Outcome {
        let services = TripServices(database: database, bus: bus, options: options)
        let desk = try services.engine()
        let processes = options.crash ? Processes(options: options) : nil
        return try await withThrowingTaskGroup(of: Void.self) { group in
            if let processes {
                group.addTask { try await processes.run() }
            } else if !options.isDesk {
                group.addTask { try await services.run() }
            }
            for number in 1...options.trips {
                // A start that is made again starts nothing twice.
                try await persistently {
                    try await desk.start(
                        Trip<ShakyDatabase<DB>>.self, id: Options.id(of: number), state: .init(number: number))
                }
            }
            try await Runtime.current.time.sleep(for: .seconds(1))
            try await desk.cancelSome(options)
            try await untilOver(desk)
            group.cancelAll()
            while (try? await group.next()) != nil {}
            return Outcome(
                audit: try await Audit.make(database, options: options),
                history: try await desk.history(of: options.shownTrip), kills: processes?.kills ?? 0)
        }
    }

    private func untilOver<DB: CityDatabase>(_ desk: SagaEngine<ShakyDatabase<DB>>) async throws {
        let time = Runtime.current.time
        var last = (open: Int.max, since: time.monotonic())
        while true {
            let statistics = try await desk.statistics()
            if statistics.open == statistics.parked { break }
            if statistics.open != last.open { last = (statistics.open, time.monotonic()) }
            if time.monotonic() - last.since > Self.patience { break }
            try await time.sleep(for: .milliseconds(200))
        }
        // A former owner that wakes up late has its say as well.
        try await time.sleep(for: options.lease * 4)
    }
}
