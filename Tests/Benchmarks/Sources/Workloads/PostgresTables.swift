// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import CPostgreSQLFloors
    import DovetailCore
    import DovetailPostgreSQL
    import DovetailSQL
    import Foundation

    /// Tables of their own in the database of the tests; gone when they are closed.
    struct PostgresTables: Storage {
        let prefix: String
        let database: PostgresDatabase

        /// Where the server is; `nil` if there is none.
        static let server = ProcessInfo.processInfo.environment["DOVETAIL_POSTGRESQL"].flatMap {
            $0.isEmpty ? nil : $0
        }

        static func address() throws -> String {
            guard let server else {
                throw WorkloadError("DOVETAIL_POSTGRESQL is not set, see Tests/Services/README.md.")
            }
            return server
        }

        init(outbox: PostgresOutbox = .table) throws {
            prefix = "b\(Runtime.current.makeUUID().description.replacing("-", with: "").suffix(12))_"
            // As many as the floors have, and some for the engine's own.
            database = PostgresDatabase(
                try Self.address(), configuration: PostgresConfiguration(mostConnections: 20),
                settings: SQLSettings(prefix: prefix), outbox: outbox)
        }

        static let opened: StorageMaker<PostgresTables> = {
            let tables = try PostgresTables()
            try await tables.database.open()
            return tables
        }

        // MARK: Plainly

        /// Runs statements without the library.
        static func execute(_ statements: String) throws {
            try check(floor_postgres_execute(try address(), statements))
        }

        static func number(_ query: String) throws -> Int {
            var number: Int64 = 0
            try check(floor_postgres_number(try address(), query, &number))
            return Int(number)
        }

        static func check(_ code: Int32) throws {
            guard code == 0 else { throw WorkloadError("PostgreSQL: \(String(cString: floor_postgres_error()))") }
        }

        /// Leaves nothing for the server to do meanwhile on its own.
        func settle(_ tables: String...) throws {
            for table in tables { try Self.execute("VACUUM ANALYZE \(prefix)\(table)") }
            try Self.execute("CHECKPOINT")
        }

        func close() async throws {
            await database.close()
            // In one statement, since a list of names would be another one to keep.
            try Self.execute(
                """
                DO $$ DECLARE name text; BEGIN
                    FOR name IN SELECT tablename FROM pg_tables WHERE starts_with(tablename, '\(prefix)') LOOP
                        EXECUTE format('DROP TABLE %I', name);
                    END LOOP;
                END $$
                """)
        }
    }
#endif
