// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

@main
enum TripSaga {
    static func main() async {
        let options: Options
        do {
            options = try Options(CommandLine.arguments.dropFirst())
        } catch {
            complain("TripSaga: \(error.message) Try 'TripSaga --help'.")
            exit(64)
        }
        if options.help {
            print(Options.usage)
            exit(0)
        }
        do {
            if options.isEngine { return try await Lasting(options: options).runEngine() }
            let (audit, history, kills) = try await run(options)
            if let file = options.timeline {
                try Data(history.html().utf8).write(to: URL(fileURLWithPath: file))
            }
            let report = Report(audit: audit, options: options, kills: kills)
            print(options.json ? report.json : report.text)
            exit(audit.violations.isEmpty ? 0 : 1)
        } catch let error as Lasting.Unusable {
            complain("TripSaga: \(error.message)")
            exit(69)
        } catch {
            complain("TripSaga: the run was given up: \(error)")
            exit(70)
        }
    }

    private static func run(_ options: Options) async throws -> (Audit, SagaHistory, kills: Int) {
        if options.file != nil { return try await Lasting(options: options).run() }
        let (audit, history) = try await InMemory(options: options).run()
        return (audit, history, kills: 0)
    }

    private static func complain(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }
}
