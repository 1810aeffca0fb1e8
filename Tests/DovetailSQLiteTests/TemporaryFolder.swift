// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    import Foundation
    import Synchronization

    @testable import DovetailSQLite

    /// A folder that is gone when the test is.
    final class TemporaryFolder: Sendable {
        let path: String

        init() throws {
            path = NSTemporaryDirectory() + "/dovetail-sqlite-" + UUID().uuidString
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }

        deinit {
            try? FileManager.default.removeItem(atPath: path)
        }

        func file(_ name: String = "shop.db") -> String { path + "/" + name }

        /// A database in a file of its own.
        func database(
            _ configuration: SQLiteConfiguration = SQLiteConfiguration(), settings: SQLSettings = SQLSettings()
        ) -> SQLiteDatabase {
            SQLiteDatabase(file(UUID().uuidString + ".db"), configuration: configuration, settings: settings)
        }

        /// A database in a file of its own, with its tables made.
        func opened(settings: SQLSettings = SQLSettings()) async throws -> SQLiteDatabase {
            let database = database(settings: settings)
            try await database.open()
            return database
        }
    }

    /// Waits until so many transactions wait for their turn to write.
    func untilWaiting(_ count: Int, in database: SQLiteDatabase) async throws {
        while database.pool.waitingWriters < count { try await SystemTime().sleep(for: .milliseconds(1)) }
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
#endif
