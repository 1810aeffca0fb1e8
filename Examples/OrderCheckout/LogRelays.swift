// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailPostgreSQL

#if PostgreSQL
    /// Relays that read the log of a PostgreSQL server, each by a replication slot of its own.
    struct LogRelays: RelayMaker {
        /// Names the run, since slots belong to the whole server.
        let run: String

        func makeRelay(
            of service: String, from database: PostgresDatabase, to bus: some Transport, _ pace: RelayPace
        ) -> any Service {
            relay(of: service, from: database, to: bus, PostgresLogRelaySettings(retry: pace.retry))
        }

        private func relay<Bus: Transport>(
            of service: String, from database: PostgresDatabase, to bus: Bus,
            _ settings: PostgresLogRelaySettings = PostgresLogRelaySettings()
        ) -> PostgresLogRelay<Bus> {
            let slot = "\(run)_\(service)".replacing("-", with: "_")
            return PostgresLogRelay(from: database, to: bus, slot: slot, settings: settings)
        }

        /// Has the server keep its log for the outboxes of services.
        func prepare(_ sites: [Site<PostgresDatabase>], bus: some Transport) async throws {
            for site in sites { try await relay(of: site.name.rawValue, from: site.database, to: bus).prepare() }
        }

        /// Lets the server forget it.
        func end(_ sites: [Site<PostgresDatabase>], bus: some Transport) async throws {
            for site in sites { try await relay(of: site.name.rawValue, from: site.database, to: bus).remove() }
        }
    }
#endif

extension Options.RelayChoice {
    /// Notes in the database of the order service by which relay a run publishes, since what one has left the other does not find.
    ///
    /// - Throws: ``Unusable`` if an earlier run published by the other.
    func note<DB: ShopDatabase>(in database: DB) async throws {
        let noted = try await database.withTransaction { tx in
            let table = database.table("run", of: String.self)
            if let noted = try await table.get("relay", in: tx) { return noted }
            let isResumed = try await IntakePosition.table(in: database).get(IntakePosition.key, in: tx) != nil
            let choice = isResumed ? Self.table : self
            try await table.put(choice.rawValue, at: "relay", in: tx)
            return choice.rawValue
        }
        guard noted == rawValue else {
            throw Unusable(
                message:
                    "the earlier run in this database published by --relay \(noted), and what it has left would not be found. "
                    + "Go on with --relay \(noted), or name another database.")
        }
    }
}
