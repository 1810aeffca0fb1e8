// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation
import Foundation

@main
enum StreamingFallback {
    static func main() async {
        let options: Options
        do {
            options = try Options(CommandLine.arguments.dropFirst())
        } catch {
            complain("StreamingFallback: \(error.message) Try 'StreamingFallback --help'.")
            exit(64)
        }
        if options.help {
            print(Options.usage)
            exit(0)
        }
        do {
            let month = Month(seed: options.seed, without: options.without)
            try await month.run()
            let report = Report(month, options)
            print(options.json ? report.json : report.text)
            exit(report.isFine ? 0 : 1)
        } catch {
            complain("StreamingFallback: the run was given up: \(error)")
            exit(70)
        }
    }

    private static func complain(_ line: String) {
        FileHandle.standardError.write(Data((line + "\n").utf8))
    }
}
