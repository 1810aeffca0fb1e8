// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

@main
enum CheckoutChoreography {
    static func main() async {
        let options: Options
        do {
            options = try Options(CommandLine.arguments.dropFirst())
        } catch {
            complain("\(error.message) Try 'CheckoutChoreography --help'.")
            exit(64)
        }
        if options.help {
            print(Options.usage)
            exit(0)
        }
        let flow = checkoutFlow(hasCompensation: options.without != .compensation)
        if let drawing = options.draw {
            switch drawing {
            case .sequence: print(flow.mermaidSequence(), terminator: "")
            case .flowchart: print(flow.mermaidFlowchart(), terminator: "")
            case .dot: print(flow.dot(), terminator: "")
            }
            exit(0)
        }
        do {
            let outcome = try await Run(options, flow).run()
            let report = Report(outcome: outcome, flow: flow, options: options)
            print(options.json ? report.json : report.text)
            if options.json { for complaint in outcome.audit.complaints { complain(complaint) } }
            exit(outcome.audit.isClean ? 0 : 1)
        } catch {
            complain("the run was given up: \(error)")
            exit(70)
        }
    }

    private static func complain(_ line: String) {
        FileHandle.standardError.write(Data("CheckoutChoreography: \(line)\n".utf8))
    }
}
