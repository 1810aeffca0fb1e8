// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSQL
import DovetailSQLite
import Foundation

/// A run on a file, by the machine's clock, with engines in this process or in processes that are killed.
struct Lasting {
    let options: Options

    /// What this machine or this build does not allow.
    struct Unusable: Error {
        let message: String
    }

    #if SQLite
        private func open(_ path: String) async throws -> (SQLiteDatabase, SQLiteDatabase) {
            let database = SQLiteDatabase(path, settings: SQLSettings(service: "trips"))
            let bus = SQLiteDatabase(path + "-bus")
            do {
                try await database.open()
                try await bus.open()
            } catch let error as DatabaseError {
                throw Unusable(message: error.message)
            }
            return (database, bus)
        }

        private func transport(_ bus: SQLiteDatabase) -> SQLTransport<SQLiteConnectionPool> {
            SQLTransport(in: bus, settings: SQLTransportSettings(lease: .seconds(2)))
        }

        /// What an engine process does until it is killed.
        func runEngine() async throws {
            let (database, bus) = try await open(options.file ?? "")
            try await Services(
                TripServices(database: database, bus: transport(bus), options: options), Orphanage()
            ).run()
        }

        func run() async throws -> (Audit, SagaHistory, kills: Int) {
            let (database, bus) = try await open(options.file ?? "")
            let services = TripServices(database: database, bus: transport(bus), options: options)
            let desk = try services.engine()
            let processes = options.crash ? Processes(options: options) : nil
            return try await withThrowingTaskGroup(of: Void.self) { group in
                if let processes {
                    group.addTask { try await processes.run() }
                } else {
                    group.addTask { try await services.run() }
                }
                for number in 1...options.trips {
                    try await desk.start(
                        Trip<ShakyDatabase<SQLiteDatabase>>.self, id: Options.id(of: number),
                        state: .init(number: number))
                }
                try await cancelSome(desk)
                try await untilOver(desk)
                group.cancelAll()
                while (try? await group.next()) != nil {}
                let shown = Options.id(of: min(options.trips, 34))
                return (
                    try await Audit.make(database, options: options), try await desk.history(of: shown),
                    kills: processes?.kills ?? 0
                )
            }
        }

        private func cancelSome(_ desk: SagaEngine<ShakyDatabase<SQLiteDatabase>>) async throws {
            try await Task.sleep(for: .seconds(1))
            for number in 1...options.trips where options.stalls(number) || number % 29 == 0 {
                do {
                    try await desk.cancel(Options.id(of: number), by: "passenger", why: "It takes too long.")
                } catch let error as SagaError where [.pastPivot, .alreadyEnded].contains(error.code) {}
            }
        }

        private func untilOver(_ desk: SagaEngine<ShakyDatabase<SQLiteDatabase>>) async throws {
            for _ in 1...600 {
                let statistics = try await desk.statistics()
                if statistics.open == statistics.parked { break }
                try await Task.sleep(for: .milliseconds(200))
            }
            // A former owner that wakes up late has its say as well.
            try await Task.sleep(for: options.lease * 4)
        }
    #else
        func runEngine() async throws { throw missing }

        func run() async throws -> (Audit, SagaHistory, kills: Int) { throw missing }

        private var missing: Unusable {
            Unusable(message: "this program was built without SQLite. Run 'swift run --traits SQLite TripSaga …'.")
        }
    #endif
}
