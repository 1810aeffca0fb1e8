// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Foundation
    import Synchronization
    import Testing

    @testable import DovetailPostgreSQL

    /// The server that the environment names; `Tests/Services/services start postgresql pgbouncer` starts one with a pooler.
    enum Server {
        static let address = environment("DOVETAIL_POSTGRESQL")
        static let pooler = environment("DOVETAIL_PGBOUNCER")
        static let isRequired = ProcessInfo.processInfo.environment["DOVETAIL_REQUIRE_SERVICES"] == "1"
        static let isMissing = address == nil || pooler == nil
        static let whyMissing: Comment =
            "DOVETAIL_POSTGRESQL or DOVETAIL_PGBOUNCER is not set, see Tests/Services/README.md"

        private static func environment(_ name: String) -> String? {
            ProcessInfo.processInfo.environment[name].flatMap { $0.isEmpty ? nil : $0 }
        }
    }

    /// By which way a test reaches the server.
    enum Way: String, CaseIterable, Sendable, CustomTestStringConvertible {
        case direct
        /// Through pgbouncer in transaction mode.
        case pooled

        var address: String { (self == .direct ? Server.address : Server.pooler) ?? "postgresql://127.0.0.1:9/none" }

        /// A configuration with what this way needs.
        func configuration(_ base: PostgresConfiguration = PostgresConfiguration()) -> PostgresConfiguration {
            var configuration = base
            if self == .pooled { configuration.preparedStatements = .off }
            return configuration
        }

        var testDescription: String { rawValue }
    }

    /// Tables of one's own, which are gone when the body is done.
    func withTables<Result>(
        _ body: (_ prefix: String) async throws -> Result
    ) async throws -> Result {
        let prefix = "t\(Runtime.current.makeUUID().description.replacing("-", with: "").suffix(12))_"
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body(prefix)) } catch { result = .failure(error) }
        let cleaner = PostgresConnectionPool(
            address: Way.direct.address, configuration: PostgresConfiguration(mostConnections: 1))
        try? await cleaner.withConnection(for: .writing) { connection in
            let tables = try await connection.run(
                SQLStatement("SELECT tablename FROM pg_tables WHERE starts_with(tablename, $1)", [.text(prefix)]))
            for table in tables.rows {
                _ = try await connection.run(SQLStatement("DROP TABLE \(try table.text(0))", []))
            }
        }
        await cleaner.close()
        return try result.get()
    }

    /// A database with tables of its own, closed afterwards.
    func withDatabase<Result>(
        _ way: Way = .direct, _ configuration: PostgresConfiguration = PostgresConfiguration(), runtime: Runtime? = nil,
        _ body: (PostgresDatabase) async throws -> Result
    ) async throws -> Result {
        try await withTables { prefix in
            let database = PostgresDatabase(
                way.address, configuration: way.configuration(configuration),
                settings: SQLSettings(prefix: prefix, runtime: runtime))
            let result: Swift.Result<Result, any Error>
            do {
                try await database.open()
                result = .success(try await body(database))
            } catch {
                result = .failure(error)
            }
            await database.close()
            return try result.get()
        }
    }

    /// A value that tasks of a test share.
    final class Shared<Value: Sendable>: Sendable {
        private let mutex: Mutex<Value>

        init(_ value: Value) {
            mutex = Mutex(value)
        }

        var value: Value { mutex.withLock { $0 } }

        @discardableResult
        func change<Result: Sendable>(_ body: (inout Value) -> Result) -> Result { mutex.withLock { body(&$0) } }
    }

    func message(_ id: String, key: PartitionKey? = nil, topic: Topic = "orders") -> Envelope<Bytes> {
        var attributes = EnvelopeAttributes(
            id: MessageID(id), source: "/test", type: "test.happened", topic: topic)
        attributes.partitionKey = key
        return Envelope(attributes, payload: Bytes(id.utf8))
    }
#endif
