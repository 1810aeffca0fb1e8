// SPDX-License-Identifier: Apache-2.0

import DovetailSimulation
import ExampleSupport
import Foundation

@main
enum GameDayProgram {
    private static let program = Program("GameDay")

    static func main() async {
        let options = program.options { (reader) throws(UsageError) in try Options(reader) }
        if options.help { program.finish(Options.usage) }
        if let replay = options.replay {
            let day = Day.make(with: options.mistakes.first)
            if options.trace { program.finish(await day.trace(of: replay).lines().joined(separator: "\n")) }
            let report = await day.run(replaying: replay)
            program.finish(report.failure?.story ?? "Nothing fails on that day.", status: report.failure == nil ? 1 : 0)
        }
        var missed: [String] = []
        for mistake in Mistake.allCases where options.mistakes.isEmpty || options.mistakes.contains(mistake) {
            print("\(mistake.rawValue): \(mistake.text)")
            let report = await Day.make(with: mistake).run(seeds: 0..<options.seeds)
            if options.reach { print(report.reach) }
            if let failure = report.failure {
                print(failure.story, terminator: "\n\n")
            } else {
                missed.append(mistake.rawValue)
                print("  NOT FOUND in \(report.seeds) days\n")
            }
        }
        if options.mistakes.isEmpty {
            let report = await Day.make(with: nil).run(seeds: 0..<options.seeds)
            print(options.reach ? "\(report)\n\(report.reach)" : "\(report)")
            if report.failure != nil { missed.append("a service without a mistake that survives") }
        }
        if !missed.isEmpty { program.fail("missed: \(missed.joined(separator: ", "))", status: 1) }
    }
}
