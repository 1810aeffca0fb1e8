// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
import Testing

/// Drawings are as the golden files have them.
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
        try checkGolden(checkout.mermaidSequence(), "Choreography/checkout-sequence.mmd")
        try checkGolden(checkout.mermaidFlowchart(), "Choreography/checkout-flowchart.mmd")
        try checkGolden(checkout.dot(), "Choreography/checkout.dot")
    }

    @Test("63. Joins, deadlines, cycles and observers are drawn")
    func joinsDeadlinesCyclesAndObserversAreDrawn() throws {
        try checkGolden(expiring.mermaidSequence(), "Choreography/expiring-sequence.mmd")
        try checkGolden(expiring.mermaidFlowchart(), "Choreography/expiring-flowchart.mmd")
        try checkGolden(expiring.dot(), "Choreography/expiring.dot")
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
