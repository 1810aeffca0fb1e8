// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation

@main
enum ActivityFeed {
    private static let program = Program("ActivityFeed")

    static func main() async {
        let options = program.options { (reader) throws(UsageError) in try Options(reader) }
        if options.help { program.finish(Options.usage) }
        do {
            let started = SystemTime().monotonic()
            let outcome = try await Run(options).run()
            let report = Report(
                outcome: outcome, isProtected: options.isProtected,
                seconds: (SystemTime().monotonic() - started).inSeconds
            )
            print(options.json ? report.json : report.text)
            if options.json { for complaint in outcome.check.complaints { program.complain(complaint) } }
            exit(outcome.check.isClean ? 0 : 1)
        } catch {
            program.fail("the run was given up: \(error)", status: 70)
        }
    }
}
