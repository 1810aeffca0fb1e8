// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import Foundation
    import TestSupport
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// A server that one test has for itself, to end and start it as it likes.
    ///
    /// `Tests/Services/services` runs it, in a folder of its own.
    final class OwnServer: Sendable {
        let port: UInt16
        private let folder: URL

        /// Finds a port, and runs nothing yet.
        init() throws {
            port = try LoopbackProxy().port
            folder = FileManager.default.temporaryDirectory
                .appendingPathComponent("dovetail-own-\(Runtime.current.makeUUID())")
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        }

        var address: String { "postgresql://dovetail@127.0.0.1:\(port)/dovetail" }

        /// Starts it with options of the server itself, such as `-c wal_level=replica`.
        func start(_ options: String = "") async throws {
            // The processes of a server that was killed hold its memory until they have noticed.
            for _ in 0..<50 {
                if try await services("start", "postgresql", options: options) == 0 { return }
                try await SystemTime().sleep(for: .milliseconds(200))
            }
            Issue.record("The server does not start, see \(folder.path)/postgresql/log.")
        }

        func stop() async throws {
            try #require(try await services("stop", "postgresql") == 0)
        }

        /// Ends it without a word, as a power cut would, and waits until it is gone: before, it would count as running.
        func kill() async throws {
            let text = try String(contentsOf: folder.appendingPathComponent("postgresql/pid"), encoding: .utf8)
            let pid = try #require(text.split(separator: " ").first.flatMap { Int32($0) })
            #expect(Foundation.kill(pid, SIGKILL) == 0)
            for _ in 0..<2000 where isRunning(pid) { try await SystemTime().sleep(for: .milliseconds(5)) }
        }

        /// A process that nobody reaps has ended too.
        private func isRunning(_ pid: Int32) -> Bool {
            guard let status = try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8) else { return false }
            return status.split(separator: ")").last?.split(separator: " ").first != "Z"
        }

        /// What it has said.
        func log() throws -> String {
            try String(contentsOf: folder.appendingPathComponent("postgresql/log"), encoding: .utf8)
        }

        /// Ends it and deletes its data.
        func clean() async {
            _ = try? await services("clean")
            try? FileManager.default.removeItem(at: folder)
        }

        /// Another server that follows this one and can take its place.
        func makeStandby() async throws -> OwnServer {
            let standby = try OwnServer()
            let home = standby.folder.appendingPathComponent("postgresql").path
            let script = """
                set -e
                program=$(compgen -G '/usr/lib/postgresql/*/bin/pg_basebackup' | sort -V | tail -n 1)
                mkdir -p '\(home)'
                chmod 755 '\(standby.folder.path)'
                copy=("${program:-pg_basebackup}" -D '\(home)/data' -d '\(address)' -R -X stream -c fast)
                if [ "$(id -u)" = 0 ]; then
                    chown postgres '\(home)'
                    setpriv --reuid=postgres --regid=postgres --init-groups "${copy[@]}"
                else
                    "${copy[@]}"
                fi
                """
            try #require(try await run("/bin/bash", ["-c", script], [:]) == 0)
            try await standby.start()
            return standby
        }

        /// Has the server do something that no transaction can.
        func perform(_ statement: String) async throws {
            let pool = PostgresConnectionPool(
                address: address, configuration: PostgresConfiguration(mostConnections: 1))
            let result: Result<Void, any Error>
            do {
                try await pool.withConnection(for: .writing) { connection in
                    _ = try await connection.run(SQLStatement(statement, []))
                }
                result = .success(())
            } catch {
                result = .failure(error)
            }
            await pool.close()
            try result.get()
        }

        private func services(_ arguments: String..., options: String = "") async throws -> Int32 {
            let script = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appendingPathComponent("Services/services").path
            return try await run(
                script, arguments,
                [
                    "DOVETAIL_SERVICES_DIR": folder.path, "DOVETAIL_POSTGRESQL_PORT": String(port),
                    "DOVETAIL_POSTGRESQL_OPTIONS": options,
                ])
        }

        private func run(_ program: String, _ arguments: [String], _ environment: [String: String]) async throws
            -> Int32
        {
            let process = Process()
            process.executableURL = URL(fileURLWithPath: "/bin/bash")
            // What is open here would be open in the server as well, and as long as it is the script is not taken to have ended.
            let alone = """
                for file in /proc/$$/fd/*; do file=${file##*/}; [ "$file" -le 2 ] || eval "exec $file>&-"; done; exec "$@"
                """
            process.arguments = ["-c", alone, "bash", program] + arguments
            process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
            process.standardInput = FileHandle.nullDevice
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            return try await withCheckedThrowingContinuation { continuation in
                process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
                do { try process.run() } catch { continuation.resume(throwing: error) }
            }
        }
    }

    /// Runs a body with a server of its own, which is gone afterwards.
    func withOwnServer(_ body: (OwnServer) async throws -> Void) async throws {
        let server = try OwnServer()
        let result: Result<Void, any Error>
        do { result = .success(try await body(server)) } catch { result = .failure(error) }
        await server.clean()
        try result.get()
    }
#endif
