// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation

@main
enum CheckoutChoreography {
    private static let program = Program("CheckoutChoreography")

    static func main() async {
        let options = program.options { (reader) throws(UsageError) in try Options(reader) }
        if options.help { program.finish(Options.usage) }
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
            if options.json { for complaint in outcome.audit.complaints { program.complain(complaint) } }
            exit(outcome.audit.isClean ? 0 : 1)
        } catch {
            program.fail("the run was given up: \(error)", status: 70)
        }
    }
}
