// SPDX-License-Identifier: Apache-2.0

import DovetailBulkhead
import DovetailCore
public import DovetailSQL
public import GRDB
import Synchronization

/// The connections of GRDB to one file: one that writes, and some that read.
///
/// ```swift
/// let database = SQLDatabase(try GRDBConnectionPool("shop.db"), settings: SQLSettings(service: "shop"))
/// ```
///
/// Each is a `DatabaseQueue` with a thread of its own, because a transaction of Dovetail is open while its body waits for other
/// things, and GRDB's own pool lends a connection for one closure.
public final class GRDBConnectionPool: SQLConnectionPool {
    /// SQLite.
    public var dialect: SQLDialect { .sqlite }

    private let writer: GRDBConnection
    private let readers: Mutex<[GRDBConnection]>
    // Those who wait are served in the order in which they came, and may be cancelled.
    private let writing = Bulkhead("writing", limit: 1, queue: .max)
    private let reading: Bulkhead

    /// Opens a file.
    ///
    /// - Parameters:
    ///   - path: The file. It is made if it is not there, its folder is not.
    ///   - readers: How many transactions may read at once.
    ///   - configure: Changes how each connection is set up, such as with functions of your own.
    /// - Throws: `DatabaseError` of Dovetail.
    public init(_ path: String, readers: Int = 4, configure: (inout Configuration) -> Void = { _ in }) throws {
        func open(_ access: SQLAccess) throws -> GRDBConnection {
            var configuration = Configuration()
            configuration.allowsUnsafeTransactions = true
            configuration.journalMode = .wal
            configuration.busyMode = .timeout(5)
            configure(&configuration)
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            try queue.inDatabase { db in
                // GRDB lets the last commits be lost in a power cut; a message that was acknowledged must not be.
                try db.execute(sql: "PRAGMA synchronous = FULL")
                if access == .reading { try db.execute(sql: "PRAGMA query_only = ON") }
            }
            return GRDBConnection(queue: queue)
        }
        do {
            writer = try open(.writing)
            self.readers = Mutex(try (0..<max(1, readers)).map { _ in try open(.reading) })
            reading = Bulkhead("reading", limit: max(1, readers), queue: .max)
        } catch {
            throw DovetailCore.DatabaseError.reading(error)
        }
    }

    /// Lends a connection for the time of a body.
    ///
    /// - Parameters:
    ///   - access: What the connection is for.
    ///   - body: Uses the connection.
    /// - Returns: What the body returned.
    /// - Throws: What the body throws; `CancellationError` if the task is cancelled while it waits.
    public func withConnection<Result>(
        for access: SQLAccess, _ body: (GRDBConnection) async throws -> Result
    ) async throws -> Result {
        guard access == .reading else {
            return try await writing.withPermit { try await body(writer) }
        }
        return try await reading.withPermit {
            // There are as many connections as permits.
            guard let reader = readers.withLock({ $0.popLast() }) else {
                throw DovetailCore.DatabaseError(.unavailable, "No connection is left to read with.")
            }
            defer { readers.withLock { $0.append(reader) } }
            return try await body(reader)
        }
    }
}
