// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation

@main
enum TripSaga {
    private static let program = Program("TripSaga")

    static func main() async {
        let options = program.options { (reader) throws(UsageError) in try Options(reader) }
        if options.help { program.finish(Options.usage) }
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
            program.fail("\(error.message)", status: 69)
        } catch {
            program.fail("the run was given up: \(error)", status: 70)
        }
    }

    private static func run(_ options: Options) async throws -> (Audit, SagaHistory, kills: Int) {
        if options.file != nil { return try await Lasting(options: options).run() }
        let (audit, history) = try await InMemory(options: options).run()
        return (audit, history, kills: 0)
    }
}
