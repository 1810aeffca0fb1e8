// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

@main
enum ActivityFeed {
    static func main() async {
        let options: Options
        do {
            options = try Options(CommandLine.arguments.dropFirst())
        } catch {
            complain("\(error.message) Try 'ActivityFeed --help'.")
            exit(64)
        }
        if options.help {
            print(Options.usage)
            exit(0)
        }
        do {
            let started = SystemTime().monotonic()
            let outcome = try await Run(options).run()
            let report = Report(
                outcome: outcome, isProtected: options.isProtected,
                seconds: (SystemTime().monotonic() - started).inSeconds
            )
            print(options.json ? report.json : report.text)
            if options.json { for complaint in outcome.check.complaints { complain(complaint) } }
            exit(outcome.check.isClean ? 0 : 1)
        } catch {
            complain("the run was given up: \(error)")
            exit(70)
        }
    }

    private static func complain(_ line: String) {
        FileHandle.standardError.write(Data("ActivityFeed: \(line)\n".utf8))
    }
}
