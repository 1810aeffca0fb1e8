// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import ExampleSupport
import Foundation

@main
enum StreamingFallback {
    private static let program = Program("StreamingFallback")

    static func main() async {
        let options = program.options { (reader) throws(UsageError) in try Options(reader) }
        if options.help { program.finish(Options.usage) }
        do {
            let month = Month(seed: options.seed, without: options.without)
            try await month.run()
            let report = Report(month, options)
            print(options.json ? report.json : report.text)
            exit(report.isFine ? 0 : 1)
        } catch {
            program.fail("the run was given up: \(error)", status: 70)
        }
    }
}
