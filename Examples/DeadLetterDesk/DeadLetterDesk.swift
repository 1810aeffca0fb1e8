// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSQL
import DovetailSQLite
import Foundation

@main
enum DeadLetterDesk {
    static func main() async {
        let options: Options
        do {
            options = try Options(CommandLine.arguments.dropFirst())
        } catch {
            complain("\(error.message) Try 'DeadLetterDesk --help'.")
            exit(64)
        }
        guard let command = options.command else {
            print(Options.usage)
            exit(0)
        }
        do {
            exit(try await run(command, options) ? 0 : 1)
        } catch let error as Missing {
            complain(error.message)
            exit(66)
        } catch let error as DeadLetterError {
            let isMissing = [.noSuchLetter, .noSuchRedrive].contains(error.code)
            complain(error.message)
            exit(isMissing ? 66 : error.code == .invalidRequest ? 64 : 69)
        } catch let error as Unusable {
            complain(error.message)
            exit(69)
        } catch let error as DatabaseError {
            complain(error.message)
            exit(69)
        } catch {
            complain("it was given up: \(error)")
            exit(70)
        }
    }

    #if SQLite
        private static func run(_ command: Options.Command, _ options: Options) async throws -> Bool {
            if command != .demo, !FileManager.default.fileExists(atPath: options.database) {
                throw Missing(
                    message:
                        "There is no file '\(options.database)'. Name the service's database with --database, or make one to "
                        + "try things on with 'DeadLetterDesk demo'.")
            }
            let database = SQLiteDatabase(options.database)
            let bus = SQLiteDatabase(options.bus)
            try await database.open()
            let desk = Desk(
                letters: DeadLetterQueue(in: database), bus: SQLTransport(in: bus), options: options,
                isTerminal: isatty(1) == 1)
            let result: Result<Bool, any Error>
            do { result = .success(try await desk.run(command)) } catch { result = .failure(error) }
            await database.close()
            await bus.close()
            return try result.get()
        }
    #else
        private static func run(_ command: Options.Command, _ options: Options) async throws -> Bool {
            throw Unusable(
                message: "This was built without SQLite. Run it with 'swift run --traits SQLite DeadLetterDesk'.")
        }
    #endif

    private static func complain(_ line: String) {
        FileHandle.standardError.write(Data("DeadLetterDesk: \(line)\n".utf8))
    }
}

/// Something that was named is not there.
struct Missing: Error {
    let message: String
}

/// Something that is needed is not there.
struct Unusable: Error {
    let message: String
}
