// SPDX-License-Identifier: Apache-2.0

#if SQLite && os(Linux)
    import DovetailCore
    import DovetailOutbox
    import DovetailSQLite
    import Foundation
    import Glibc
    import Testing

    /// Another process: this test program, started again to do one thing.
    struct Peer {
        static let role = ProcessInfo.processInfo.environment["DOVETAIL_SQLITE_PEER"]
        static var path: String { ProcessInfo.processInfo.environment["DOVETAIL_SQLITE_PEER_PATH"] ?? "" }

        let process: Process

        init(_ role: String, _ path: String) throws {
            process = Process()
            process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
            process.arguments = ["--testing-library", "swift-testing", "--filter", "SQLitePeerTests"]
            process.environment = ProcessInfo.processInfo.environment.merging(
                ["DOVETAIL_SQLITE_PEER": role, "DOVETAIL_SQLITE_PEER_PATH": path]
            ) { $1 }
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
        }

        /// Waits for its end without blocking a thread on which tasks run.
        func end() async throws -> Int32 {
            while process.isRunning { try await SystemTime().sleep(for: .milliseconds(20)) }
            return process.terminationStatus
        }

        func kill() {
            Glibc.kill(process.processIdentifier, SIGKILL)
        }
    }

    private func countUp(_ database: SQLiteDatabase, times: Int) async throws {
        let rows = database.table("rows", of: Int.self)
        for _ in 0..<times {
            try await database.withTransaction { tx in
                let count = try await rows.get("count", in: tx) ?? 0
                try await rows.put(count + 1, at: "count", in: tx)
                try await Outbox(in: database).publish(message("\(count + 1)", key: "count"), in: tx)
            }
        }
    }

    private func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// What another process does, if variables say that this is one.
    @Suite(.enabled(if: Peer.role != nil, "Runs in the other process of SQLiteProcessTests only"))
    struct SQLitePeerTests {
        @Test("Does its part")
        func part() async throws {
            let database = SQLiteDatabase(
                Peer.path, configuration: SQLiteConfiguration(busyTimeout: .seconds(100))
            )
            switch Peer.role {
            case "count":
                try await countUp(database, times: 40)
            case "hold":
                try await database.withTransaction { tx in
                    try await Outbox(in: database).publish(message("never"), in: tx)
                    _ = try await tx.query("SELECT 1")
                    try Data().write(to: URL(fileURLWithPath: Peer.path + ".held"))
                    // Until it is killed.
                    try await SystemTime().sleep(for: .seconds(3600))
                }
            case "claim":
                let claim = try await database.outboxStore.claim(limit: 10, lease: .seconds(2))
                try Data(String(claim.rows.count).utf8).write(to: URL(fileURLWithPath: Peer.path + ".held"))
                try await SystemTime().sleep(for: .seconds(3600))
            case "without rights":
                // Nobody, on most systems.
                if getuid() == 0 { #expect(setuid(65534) == 0) }
                var codes: [String] = []
                for path in [Peer.path + "/folder/new.db", Peer.path + "/file.db", Peer.path + "/folder/old.db"] {
                    do {
                        let database = SQLiteDatabase(path)
                        try await database.withTransaction { tx in _ = try await tx.execute("CREATE TABLE t (a)") }
                        codes.append("none")
                    } catch let error as DatabaseError {
                        codes.append(error.code.description)
                    }
                }
                try Data(codes.joined(separator: " ").utf8).write(to: URL(fileURLWithPath: Peer.path + "/open/codes"))
            case "redrive": try await RedriveKillTests.redrive(Peer.path)
            default: Issue.record("There is no such part.")
            }
        }
    }

    @Suite(.timeLimit(.minutes(10)))
    struct SQLiteProcessTests {
        let folder: TemporaryFolder

        init() throws {
            folder = try TemporaryFolder()
        }

        private func untilExists(_ path: String) async throws {
            for _ in 0..<4000 where !exists(path) { try await SystemTime().sleep(for: .milliseconds(20)) }
            #expect(exists(path))
        }

        @Test("Processes that start on a new file at once make its tables once, and take turns")
        func processesAtOnce() async throws {
            let path = folder.file()
            let peers = try [Peer("count", path), Peer("count", path)]
            let database = SQLiteDatabase(path, configuration: SQLiteConfiguration(busyTimeout: .seconds(100)))
            try await countUp(database, times: 40)
            for peer in peers { #expect(try await peer.end() == 0) }
            #expect(try await database.table("rows", of: Int.self).get("count") == 120)
            let claim = try await database.outboxStore.claim(limit: 1000, lease: .seconds(1))
            #expect(claim.rows.map(\.envelope.attributes.id.rawValue) == (1...120).map(String.init))
        }

        @Test("A process that is killed within a transaction leaves nothing, and its lock is free")
        func killedWriter() async throws {
            let path = folder.file()
            let peer = try Peer("hold", path)
            try await untilExists(path + ".held")
            let database = SQLiteDatabase(path, configuration: SQLiteConfiguration(busyTimeout: .milliseconds(100)))
            let error = await #expect(throws: DatabaseError.self) { try await countUp(database, times: 1) }
            #expect(error?.code == .locked)
            peer.kill()
            _ = try await peer.end()
            try await countUp(database, times: 1)
            let claim = try await database.outboxStore.claim(limit: 10, lease: .seconds(1))
            #expect(claim.rows.map(\.envelope.attributes.id.rawValue) == ["1"])
        }

        @Test("What a process had claimed that is killed is claimed by another when the lease ends")
        func killedRelay() async throws {
            let path = folder.file()
            let database = SQLiteDatabase(path)
            try await countUp(database, times: 3)
            let peer = try Peer("claim", path)
            try await untilExists(path + ".held")
            #expect(try await database.outboxStore.claim(limit: 10, lease: .seconds(1)).rows.isEmpty)
            peer.kill()
            _ = try await peer.end()
            var names: [String] = []
            for _ in 0..<500 where names.isEmpty {
                names = try await database.outboxStore.claim(limit: 10, lease: .seconds(60)).rows.map(
                    \.envelope.attributes.id.rawValue)
                try await SystemTime().sleep(for: .milliseconds(20))
            }
            #expect(names == ["1", "2", "3"])
        }

        @Test("A folder or file that cannot be written is told by name")
        func withoutRights() async throws {
            let path = folder.path
            for name in ["folder", "open"] {
                try FileManager.default.createDirectory(atPath: path + "/" + name, withIntermediateDirectories: false)
            }
            for name in ["file.db", "folder/old.db"] {
                let database = SQLiteDatabase(path + "/" + name)
                try await database.open()
                await database.close()
            }
            func set(_ permissions: Int, _ names: String...) throws {
                for name in names {
                    try FileManager.default.setAttributes(
                        [.posixPermissions: permissions], ofItemAtPath: path + "/" + name)
                }
            }
            try set(0o777, "", "open")
            try set(0o555, "folder")
            try set(0o444, "file.db")
            try set(0o666, "folder/old.db")
            #expect(try await Peer("without rights", path).end() == 0)
            let codes = try String(
                decoding: Data(contentsOf: URL(fileURLWithPath: path + "/open/codes")), as: UTF8.self)
            #expect(codes == "cannotOpen readOnlyDatabase readOnlyDatabase")
            try set(0o777, "folder")
        }
    }
#endif
