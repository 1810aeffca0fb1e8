// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import Foundation

@main
enum FlashSale {
    static func main() async {
        let options: Options
        do {
            options = try Options(CommandLine.arguments.dropFirst())
        } catch {
            complain("FlashSale: \(error.message) Try 'FlashSale --help'.")
            exit(64)
        }
        if options.help {
            print(Options.usage)
            exit(0)
        }
        do {
            // What the others are owed: the same day, the same failures and all protections, without the crowd.
            let calm = try await Sale(seed: options.seed, crowd: false, without: []).run()
            let sale = try await Sale(seed: options.seed, crowd: true, without: options.without).run()
            let report = Report(sale: sale, calm: calm, options: options)
            print(options.json ? report.json : report.text)
            exit(report.verdict.isFine ? 0 : 1)
        } catch {
            complain("FlashSale: the run was given up: \(error)")
            exit(70)
        }
    }

    private static func complain(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }
}
