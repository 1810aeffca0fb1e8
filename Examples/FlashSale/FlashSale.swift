// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import ExampleSupport
import Foundation

@main
enum FlashSale {
    private static let program = Program("FlashSale")

    static func main() async {
        let options = program.options { (reader) throws(UsageError) in try Options(reader) }
        if options.help { program.finish(Options.usage) }
        do {
            // What the others are owed: the same day, the same failures and all protections, without the crowd.
            let calm = try await Sale(seed: options.seed, crowd: false, without: []).run()
            let sale = try await Sale(seed: options.seed, crowd: true, without: options.without).run()
            let report = Report(sale: sale, calm: calm, options: options)
            print(options.json ? report.json : report.text)
            exit(report.verdict.isFine ? 0 : 1)
        } catch {
            program.fail("the run was given up: \(error)", status: 70)
        }
    }
}
