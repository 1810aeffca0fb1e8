// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import CSQLite
    import DovetailCore
    import DovetailOutbox
    import DovetailSQLite
    import DovetailTesting
    import Foundation
    import Testing

    @Suite(.timeLimit(.minutes(10)))
    struct SQLiteFileTests {
        let folder: TemporaryFolder

        init() throws {
            folder = try TemporaryFolder()
        }

        private func refusal(_ path: String) async -> DatabaseError? {
            await #expect(throws: DatabaseError.self) { try await SQLiteDatabase(path).open() }
        }

        // MARK: What cannot be opened

        @Test("A missing folder, a folder in place of a file, and what is no file are told by name")
        func cannotOpen() async throws {
            for path in [folder.path + "/missing/shop.db", folder.path, "", ":memory:", "a\u{0}b"] {
                let error = await refusal(path)
                #expect(error?.code == .cannotOpen, "\(path)")
                #expect(error?.code.isTransient == false)
            }
            #expect(!FileManager.default.fileExists(atPath: folder.path + "/missing"))
        }

        @Test("Once its folder is there, the same database opens")
        func folderComesLater() async throws {
            let database = SQLiteDatabase(folder.path + "/later/shop.db")
            await #expect(throws: DatabaseError.self) { try await database.open() }
            try FileManager.default.createDirectory(atPath: folder.path + "/later", withIntermediateDirectories: false)
            try await database.open()
        }

        @Test("A file that is no database is told by name and left as it is")
        func notADatabase() async throws {
            let text = Data(String(repeating: "This is a letter. ", count: 100).utf8)
            try text.write(to: URL(fileURLWithPath: folder.file()))
            let error = await refusal(folder.file())
            #expect(error?.code == .notADatabase && error?.message.contains(folder.file()) == true)
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file())) == text)
        }

        @Test("A damaged file is told by name")
        func damaged() async throws {
            let path = folder.file()
            let database = SQLiteDatabase(path)
            try await database.withTransaction { tx in
                for number in 0..<200 {
                    try await Outbox(in: database).publish(message(String(repeating: "\(number)", count: 200)), in: tx)
                }
            }
            await database.close()
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            // All but the header, so that it still looks like a database.
            for index in 100..<bytes.count { bytes[index] = 0xa5 }
            try bytes.write(to: URL(fileURLWithPath: path))
            let error = await refusal(path)
            #expect(error?.code == .corrupt && error?.message.contains("backup") == true)
        }

        // MARK: Locks of others

        @Test("Another program that holds the file too long is told by name, and later all goes on")
        func lockedTooLong() async throws {
            let path = folder.file()
            let holder = SQLiteDatabase(path)
            let other = SQLiteDatabase(path, configuration: SQLiteConfiguration(busyTimeout: .milliseconds(50)))
            try await holder.open()
            try await other.open()
            try await holder.withTransaction { tx in
                try await Outbox(in: holder).publish(message("1"), in: tx)
                _ = try await tx.query("SELECT 1")
                let error = await #expect(throws: DatabaseError.self) {
                    try await other.withTransaction { tx in _ = try await tx.query("SELECT 1") }
                }
                #expect(error?.code == .locked && error?.code.isTransient == true)
                // Reading waits for nobody.
                #expect(try await other.outboxStore.statistics().unsent == 0)
            }
            #expect(try await other.outboxStore.claim(limit: 10, lease: .seconds(1)).rows.count == 1)
        }

        @Test("Whoever waits for another program can be cancelled, and the database can be used")
        func waitIsCancelled() async throws {
            let path = folder.file()
            let holder = SQLiteDatabase(path)
            let other = SQLiteDatabase(path, configuration: SQLiteConfiguration(busyTimeout: .seconds(600)))
            try await holder.open()
            try await other.open()
            try await holder.withTransaction { tx in
                _ = try await tx.query("SELECT 1")
                await withTaskGroup(of: Void.self) { group in
                    group.addTask {
                        await #expect(throws: CancellationError.self) {
                            try await other.withTransaction { tx in _ = try await tx.query("SELECT 1") }
                        }
                    }
                    try? await SystemTime().sleep(for: .milliseconds(50))
                    group.cancelAll()
                }
            }
            try await other.withTransaction { tx in _ = try await tx.query("SELECT 1") }
        }

        @Test("Who begins with a new file while another program writes its first lines waits for it, as long as told")
        func beginningTogether() async throws {
            let path = folder.file()
            var other: OpaquePointer?
            #expect(sqlite3_open(path, &other) == SQLITE_OK)
            defer { sqlite3_close(other) }
            // Those who look whether they may begin are in its way for a moment, too.
            sqlite3_busy_timeout(other, 60_000)
            #expect(sqlite3_exec(other, "BEGIN IMMEDIATE; CREATE TABLE theirs (a)", nil, nil, nil) == SQLITE_OK)

            let hasty = SQLiteDatabase(path, configuration: SQLiteConfiguration(busyTimeout: .milliseconds(20)))
            let error = await #expect(throws: DatabaseError.self) { try await hasty.open() }
            #expect(error?.code == .locked && error?.code.isTransient == true)

            let patient = SQLiteDatabase(path, configuration: SQLiteConfiguration(busyTimeout: .seconds(600)))
            async let opened: Void = patient.open()
            try await SystemTime().sleep(for: .milliseconds(100))
            #expect(sqlite3_exec(other, "COMMIT", nil, nil, nil) == SQLITE_OK)
            try await opened
            #expect(try await patient.outboxStore.statistics().unsent == 0)
        }

        @Test("Programs that start on a new file at the same time make its tables once")
        func openedByManyAtOnce() async throws {
            let path = folder.file()
            try await withThrowingTaskGroup { group in
                for _ in 0..<8 {
                    group.addTask {
                        let database = SQLiteDatabase(
                            path, configuration: SQLiteConfiguration(busyTimeout: .seconds(60)))
                        try await database.open()
                        try await database.withTransaction { tx in
                            try await Outbox(in: database).publish(message("1"), in: tx)
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await SQLiteDatabase(path).outboxStore.statistics().unsent == 8)
        }

        // MARK: Closing

        @Test("Closing waits for what has begun, refuses what comes after, and leaves one file")
        func close() async throws {
            let path = folder.file()
            let database = SQLiteDatabase(path)
            try await database.open()
            let (began, closing) = (WakeUp(), WakeUp())
            let isClosed = Shared(false)
            try await withThrowingTaskGroup { group in
                group.addTask {
                    try await database.withTransaction { tx in
                        try await Outbox(in: database).publish(message("1"), in: tx)
                        _ = try await tx.query("SELECT 1")
                        began.notify()
                        try await closing.wait(atMost: .seconds(60))
                        try await SystemTime().sleep(for: .milliseconds(20))
                        #expect(!isClosed.value)
                    }
                }
                try await began.wait(atMost: .seconds(60))
                group.addTask {
                    closing.notify()
                    await database.close()
                    isClosed.change { $0 = true }
                }
                try await group.waitForAll()
            }
            for _ in 0..<2 {
                let error = await #expect(throws: DatabaseError.self) { try await database.withTransaction { _ in } }
                #expect(error?.code == .closed)
                let other = await #expect(throws: DatabaseError.self) {
                    try await database.withReadTransaction { _ in }
                }
                #expect(other?.code == .closed)
                await database.close()
            }
            #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["shop.db"])
            #expect(try await SQLiteDatabase(path).outboxStore.statistics().unsent == 1)
        }

        @Test("Whoever waits to write when the database closes is refused by name")
        func closeRefusesWaiters() async throws {
            let database = folder.database()
            try await database.open()
            let (began, release) = (WakeUp(), WakeUp())
            try await withThrowingTaskGroup { group in
                group.addTask {
                    try await database.withTransaction { tx in
                        _ = try await tx.query("SELECT 1")
                        began.notify()
                        try await release.wait(atMost: .seconds(60))
                    }
                }
                try await began.wait(atMost: .seconds(60))
                group.addTask {
                    let error = await #expect(throws: DatabaseError.self) {
                        try await database.withTransaction { _ in }
                    }
                    #expect(error?.code == .closed)
                }
                try await untilWaiting(1, in: database)
                group.addTask { await database.close() }
                // Once it is closing, whoever comes is refused at once.
                while (try? await database.withReadTransaction { _ in true }) ?? false { await Task.yield() }
                release.notify()
                try await group.waitForAll()
            }
        }

        // MARK: Backups

        @Test("A backup is a whole database of one moment, made while others write")
        func backup() async throws {
            let database = folder.database()
            let orders = database.table("orders", of: Int.self)
            // Both rows are always the same, so a copy of two moments would show.
            func write(_ number: Int) async throws {
                try await database.withTransaction { tx in
                    try await orders.put(number, at: "first", in: tx)
                    try await orders.put(number, at: "filler \(number % 50)", in: tx)
                    try await orders.put(number, at: "second", in: tx)
                }
            }
            try await write(0)
            let copies = (0..<5).map { folder.file("copy-\($0).db") }
            try await withThrowingTaskGroup { group in
                group.addTask { for number in 1...100 { try await write(number) } }
                for path in copies { try await database.backup(to: path) }
                try await group.waitForAll()
            }
            for path in copies {
                let copy = SQLiteDatabase(path).table("orders", of: Int.self)
                let first = try #require(try await copy.get("first"))
                #expect(try await copy.get("second") == first)
            }
            // A later one replaces it.
            try await write(1000)
            try await database.backup(to: copies[0])
            #expect(try await SQLiteDatabase(copies[0]).table("orders", of: Int.self).get("first") == 1000)
            #expect(
                try !FileManager.default.contentsOfDirectory(atPath: folder.path).contains {
                    $0.hasSuffix(".unfinished")
                })
        }

        @Test("A backup that cannot be written is told by name and leaves nothing")
        func backupFails() async throws {
            let database = folder.database()
            let error = await #expect(throws: DatabaseError.self) {
                try await database.backup(to: folder.path + "/missing/copy.db")
            }
            #expect(error?.code == .cannotOpen)
            let other = await #expect(throws: DatabaseError.self) { try await database.backup(to: folder.path) }
            #expect(other?.code == .cannotOpen)
            let cancelled = await withTaskGroup(of: Bool.self) { group in
                group.cancelAll()
                group.addTask { [folder] in
                    do { try await database.backup(to: folder.file("copy.db")) } catch is CancellationError {
                        return true
                    } catch {}
                    return false
                }
                return await group.next() ?? false
            }
            #expect(cancelled && !FileManager.default.fileExists(atPath: folder.file("copy.db")))
        }

        @Test("The log does not grow without end while many transactions commit")
        func logStaysBounded() async throws {
            let path = folder.file()
            let database = SQLiteDatabase(path, configuration: SQLiteConfiguration(synchronous: .normal))
            let rows = database.table("rows", of: String.self)
            for number in 0..<400 {
                try await database.withTransaction { tx in
                    try await rows.put(String(repeating: "x", count: 50_000), at: String(number % 10), in: tx)
                }
            }
            let size = try FileManager.default.attributesOfItem(atPath: path + "-wal")[.size] as? Int ?? .max
            // Twenty megabytes were written; a checkpoint comes after four.
            #expect(size < 10_000_000)
        }
    }
#endif
