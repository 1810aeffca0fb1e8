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
            let lasting = Lasting(options: options)
            if options.isEngine { return try await lasting.open(for: EngineProcess(options: options)) }
            // Before the work, that is, not after it.
            if let file = options.timeline { write("", to: file) }
            let outcome =
                try await options.isLasting
                ? lasting.open(for: WholeRun(options: options)) : InMemory(options: options).run()
            if let file = options.timeline { write(outcome.history.html(), to: file) }
            let report = Report(outcome: outcome, options: options)
            print(options.json ? report.json : report.text)
            exit(outcome.audit.violations.isEmpty ? 0 : 1)
        } catch let error as Lasting.Unusable {
            program.fail("\(error.message)", status: 69)
        } catch {
            program.fail("the run was given up: \(error)", status: 70)
        }
    }

    private static func write(_ page: String, to file: String) {
        do {
            try Data(page.utf8).write(to: URL(fileURLWithPath: file))
        } catch {
            program.fail("the timeline cannot be written to '\(file)': \(error.localizedDescription)", status: 73)
        }
    }
}
