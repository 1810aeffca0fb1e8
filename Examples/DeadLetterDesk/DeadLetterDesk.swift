// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSQL
import DovetailSQLite
import ExampleSupport
import Foundation

@main
enum DeadLetterDesk {
    private static let program = Program("DeadLetterDesk")

    static func main() async {
        let options = program.options { (reader) throws(UsageError) in try Options(reader) }
        guard let command = options.command else { program.finish(Options.usage) }
        do {
            exit(try await run(command, options) ? 0 : 1)
        } catch let error as Missing {
            program.fail(error.message, status: 66)
        } catch let error as DeadLetterError {
            let isMissing = [.noSuchLetter, .noSuchRedrive].contains(error.code)
            program.fail(error.message, status: isMissing ? 66 : error.code == .invalidRequest ? 64 : 69)
        } catch let error as Unusable {
            program.fail(error.message, status: 69)
        } catch let error as DatabaseError {
            program.fail(error.message, status: 69)
        } catch {
            program.fail("it was given up: \(error)", status: 70)
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
}

/// Something that was named is not there.
struct Missing: Error {
    let message: String
}

/// Something that is needed is not there.
struct Unusable: Error {
    let message: String
}
