// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
import Foundation
import Testing

/// Drawings are as the golden files have them; run with `DOVETAIL_WRITE_GOLDEN=1` to write those anew, and look at them.
@Suite
struct ChoreographyDrawingTests {
    private let expiring = Choreography("expiring") {
        Hop("orders").emits(OrderPlaced.self, needsUndo: false)
        Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self)
        Hop("inventory", on: OrderPlaced.self).emits(StockReserved.self)
        Hop("orders", on: PaymentSucceeded.self, StockReserved.self).ends("confirmed", emitting: OrderCounted.self)
        Hop("orders", on: PaymentFailed.self).emits(OrderPlaced.self).fails(OrderExpired.self)
        Hop("orders", deadline: "unpaid", after: OrderPlaced.self).fails(OrderExpired.self)
        Hop("payments", on: OrderExpired.self).undoes(PaymentSucceeded.self).ends("expired")
        Hop("inventory", on: OrderExpired.self).undoes(StockReserved.self).ends("expired")
        Hop("\"mail\"; drop", observes: OrderCounted.self)
    }

    @Test("63. The checkout is drawn")
    func theCheckoutIsDrawn() throws {
        try golden(checkout.mermaidSequence(), "checkout-sequence.mmd")
        try golden(checkout.mermaidFlowchart(), "checkout-flowchart.mmd")
        try golden(checkout.dot(), "checkout.dot")
    }

    @Test("63. Joins, deadlines, cycles and observers are drawn")
    func joinsDeadlinesCyclesAndObserversAreDrawn() throws {
        try golden(expiring.mermaidSequence(), "expiring-sequence.mmd")
        try golden(expiring.mermaidFlowchart(), "expiring-flowchart.mmd")
        try golden(expiring.dot(), "expiring.dot")
    }

    @Test func aNameCannotBreakOutOfADrawing() {
        let flow = Choreography("x\"\nend") {
            Hop("a\"]; b --> c %%\n\\").emits(OrderPlaced.self)
            Hop("d<br>", on: OrderPlaced.self).ends("e\"\n}")
        }
        for drawing in [flow.mermaidSequence(), flow.mermaidFlowchart()] {
            #expect(!drawing.contains("]; b"))
            #expect(!drawing.contains("%%"))
        }
        #expect(!(flow.mermaidSequence() + flow.mermaidFlowchart() + flow.dot()).contains("\nend"))
        #expect(flow.dot().contains(#"label="a\"]; b --> c %% \\""#))
        #expect(flow.mermaidFlowchart().contains("d#60;br#62;"))
    }
}

/// Compares a text with a golden file.
func golden(_ text: String, _ name: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Golden/Choreography")
    let file = folder.appending(path: name)
    if ProcessInfo.processInfo.environment["DOVETAIL_WRITE_GOLDEN"] != nil {
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }
    let expected = try String(decoding: Data(contentsOf: file), as: UTF8.self)
    #expect(text == expected, "\(name) differs", sourceLocation: sourceLocation)
}
