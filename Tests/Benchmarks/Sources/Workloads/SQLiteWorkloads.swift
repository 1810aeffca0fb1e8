// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import CSQLiteFloors
    import DovetailCore
    import DovetailIdempotency
    import DovetailOutbox
    import DovetailSQL
    import DovetailSQLite
    import Foundation

    extension Catalogue {
        static let sqlite = [
            Comparison(
                "SQLite, relay", in: .perSecond("rows"), count: 100_000, budget: .timesFloor(2.5),
                of: StoreWorkloads.relay(
                    "relay to a transport that does nothing, no keys", keys: 0, in: SQLiteWorkloads.File.opened),
                over: SQLiteWorkloads.bareDrain
            ),
            Comparison(
                "SQLite, relay, 1,000 keys", in: .perSecond("rows"), count: 100_000, budget: .timesFloor(2.5),
                of: StoreWorkloads.relay(
                    "relay to a transport that does nothing, 1,000 keys", keys: 1_000, in: SQLiteWorkloads.File.opened),
                over: SQLiteWorkloads.bareDrain
            ),
            Comparison(
                "SQLite, relay, a key a row", in: .perSecond("rows"), count: 100_000, budget: .timesFloor(2.5),
                of: StoreWorkloads.relay(
                    "relay to a transport that does nothing, a key a row", keys: 100_000,
                    in: SQLiteWorkloads.File.opened),
                over: SQLiteWorkloads.bareDrain
            ),
            Comparison(
                "SQLite, commit", in: .perSecond("commits"), count: 5_000,
                of: SQLiteWorkloads.transactions("a transaction that writes a row", .row),
                over: SQLiteWorkloads.bareCommit("the same in C", addsRow: false)
            ),
            Comparison(
                "SQLite, outbox, append in a transaction", in: .perSecond("commits"), count: 5_000,
                of: SQLiteWorkloads.transactions("a row and an envelope", .rowAndEnvelope),
                over: SQLiteWorkloads.transactions("the same transaction without it", .row),
                SQLiteWorkloads.bareCommit("both rows in C", addsRow: true)
            ),
            Comparison(
                "SQLite, saga of three steps", in: .perSecond("sagas"), count: 1_000, budget: .timesFloor(1 / 0.6),
                of: SagaWorkloads.sagas("one after the other", atOnce: 1, in: SQLiteWorkloads.File.opened),
                over: SQLiteWorkloads.bareCommit("four commits of both rows in C", addsRow: true, times: 4)
            ),
            Comparison(
                "SQLite, saga of three steps, sixteen at once", in: .perSecond("sagas"), count: 2_000,
                budget: .timesFloor(1),
                of: SagaWorkloads.sagas("sixteen at once", atOnce: 16, in: SQLiteWorkloads.File.opened),
                over: SQLiteWorkloads.bareCommit("four commits of both rows in C", addsRow: true, times: 4)
            ),
            Comparison(
                "SQLite, key recorded in a transaction", in: .perSecond("commits"), count: 5_000,
                of: SQLiteWorkloads.transactions("a row and a key", .rowAndKey),
                over: SQLiteWorkloads.transactions("the same transaction without it", .row),
                SQLiteWorkloads.bareCommit("both rows in C", addsRow: true)
            ),
        ]
    }

    /// What the stores cost over what SQLite does by itself, each in a file of its own with `synchronous=FULL`.
    enum SQLiteWorkloads {
        /// About what an envelope of these workloads takes in the outbox.
        private static let rowBytes = 530

        /// A file that is gone when the workload is.
        final class File: Storage {
            let path = NSTemporaryDirectory() + "/dovetail-benchmark-\(Runtime.current.makeUUID()).db"
            let prefix = SQLSettings().prefix
            let database: SQLiteDatabase

            init() {
                database = SQLiteDatabase(path)
            }

            static let opened: StorageMaker<File> = {
                let file = File()
                try await file.database.open()
                return file
            }

            func close() async {
                await database.close()
            }

            deinit {
                for suffix in ["", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
            }
        }

        static let bareDrain = Workload("DELETE … RETURNING in C, batches of 500") { count in
            let floor = try Floor()
            try check(floor_sqlite_fill(floor.handle, Int32(count), Int32(rowBytes)))
            return {
                var rows: Int32 = 0
                try check(floor_sqlite_drain(floor.handle, 500, &rows))
                try WorkloadError.check(Int(rows), is: count, "Rows drained")
            }
        }

        // MARK: Committing

        static func transactions(_ name: String, _ writes: StoreWorkloads.Writes) -> Workload {
            StoreWorkloads.transactions(name, writes, in: File.opened)
        }

        static func bareCommit(_ name: String, addsRow: Bool, times: Int = 1) -> Workload {
            Workload(name) { count in
                let floor = try Floor()
                return { try check(floor_sqlite_commit(floor.handle, Int32(count * times), addsRow ? 1 : 0)) }
            }
        }

        // MARK: The floor

        private final class Floor: @unchecked Sendable {
            // Safe to share: one task uses it.
            let handle: OpaquePointer
            private let file = File()

            init() throws {
                var opened: OpaquePointer?
                let code = floor_sqlite_open(file.path, &opened)
                guard let opened, code == 0 else { throw WorkloadError("The floor's file cannot be opened: \(code).") }
                handle = opened
            }

            deinit {
                floor_sqlite_close(handle)
            }
        }

        private static func check(_ code: Int32) throws {
            try WorkloadError.check(code, is: 0, "What SQLite returned")
        }
    }
#else
    extension Catalogue {
        /// Needs the trait SQLite.
        static let sqlite: [Comparison] = []
    }
#endif
