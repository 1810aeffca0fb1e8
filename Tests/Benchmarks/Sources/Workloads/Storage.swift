// SPDX-License-Identifier: Apache-2.0

#if SQLite || PostgreSQL
    import DovetailSQL

    /// A database that is there for one run of a workload.
    protocol Storage<Pool>: Sendable {
        associatedtype Pool: SQLConnectionPool

        var database: SQLDatabase<Pool> { get }

        /// What the names of its tables begin with.
        var prefix: String { get }

        /// Closes the database and takes away what it has left.
        func close() async throws
    }

    /// Makes one.
    typealias StorageMaker<Place: Storage> = @Sendable () async throws -> Place
#endif
