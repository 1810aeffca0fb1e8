// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
import Testing

/// A flow that is not sound is refused, with a message that names who and what.
@Suite
struct ChoreographyCheckTests {
    private func kinds(_ flow: Choreography) -> [ChoreographyProblem.Kind] { flow.problems().map(\.kind) }

    @Test func theCheckoutIsSound() throws {
        #expect(checkout.problems().map(\.message) == [])
        try checkout.validate()
        #expect(checkout.participants == ["orders", "payments", "inventory"])
        #expect(checkout.cycles.isEmpty)
    }

    @Test func anUnsoundFlowIsRefusedWithEveryProblemInTheMessage() throws {
        let flow = Choreography("half") { Hop("orders").emits(OrderPlaced.self, StockReserved.self) }
        let error = try #require(throws: ChoreographyError.self) { try flow.validate() }
        #expect(error.code == .unsoundFlow)
        for part in ["'half'", "nobody reads OrderPlaced", "nobody reads StockReserved", "nothing is the end"] {
            #expect(error.message.contains(part), "\(error.message)")
        }
    }

    // MARK: Events and hops

    @Test func anEventThatNobodyReadsIsNamedWithWhoEmitsIt() throws {
        let flow = checkout(without: "orders", on: PaymentFailed.type)
        let problem = try #require(flow.problems().first)
        #expect(problem.kind == .unreadEvent)
        #expect(problem.participants == ["payments"])
        #expect(problem.events == [PaymentFailed.type])
        #expect(problem.message.contains("nobody reads PaymentFailed, which payments emits"))
        // One cause, one problem of its own, and what follows from it: the order is not undone.
        #expect(kinds(flow) == [.unreadEvent, .uncompensated])
    }

    @Test func anObserverIsAReader() {
        let flow = Choreography("observed") {
            Hop("orders").emits(OrderPlaced.self)
            Hop("payments", on: OrderPlaced.self).ends("paid", emitting: PaymentSucceeded.self)
            Hop("mailing", observes: PaymentSucceeded.self)
        }
        #expect(flow.problems().map(\.message) == [])
    }

    @Test func anEventThatNobodyEmitsIsNamedWithWhoWaits() throws {
        let flow = checkout { Hop("inventory", on: OrderExpired.self).ends("expired") }
        let problem = try #require(flow.problems().first)
        #expect(kinds(flow) == [.neverEmitted])
        #expect(problem.participants == ["inventory"])
        #expect(problem.message.contains("nobody emits OrderExpired, which inventory waits for"))
    }

    @Test func aHopThatNoWayLeadsToIsNamed() throws {
        // Of the two it waits for, only one ever comes.
        let flow = checkout { Hop("audit", on: StockReserved.self, PaymentFailed.self).ends("strange") }
        let problem = try #require(flow.problems().first)
        #expect(kinds(flow) == [.unreachableHop])
        #expect(problem.participants == ["audit"])
        #expect(problem.message.contains("'audit on StockReserved and PaymentFailed'"))
    }

    @Test func twoHopsForTheSameAreOneTooMany() throws {
        let flow = checkout { Hop("orders", on: StockReserved.self).ends("confirmed") }
        #expect(kinds(flow) == [.duplicateHop])
        #expect(try #require(flow.problems().first).message.contains("'orders on StockReserved'"))
    }

    @Test func aFlowHasABeginningAndAnEnd() {
        let endless = Choreography("endless") {
            Hop("orders").emits(OrderPlaced.self)
            Hop("mailing", observes: OrderPlaced.self)
        }
        #expect(kinds(endless) == [.noEnd, .deadEnd])
        let rootless = Choreography("rootless") { Hop("orders", on: OrderPlaced.self).ends("done") }
        #expect(kinds(rootless) == [.noBeginning, .neverEmitted])
    }

    @Test func aDeadlineIsSetWithAnEventThatItsParticipantKnows() throws {
        let flow = checkout {
            Hop("inventory", deadline: "slow", after: PaymentRefunded.self).ends("slow")
        }
        let problem = try #require(flow.problems().first { $0.kind == .unsetDeadline })
        #expect(problem.participants == ["inventory"])
        #expect(problem.message.contains("the deadline 'slow' after PaymentRefunded, which it neither reads nor emits"))
        let own = checkout { Hop("payments", deadline: "slow", after: PaymentSucceeded.self).ends("confirmed") }
        #expect(!kinds(own).contains(.unsetDeadline))
    }

    // MARK: Ways

    @Test func aWayThatStopsBeforeAnEndIsNamed() throws {
        let flow = Choreography("stops") {
            Hop("orders").emits(OrderPlaced.self)
            Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).emits(StockReserved.self)
            Hop("orders", on: PaymentSucceeded.self).ends("paid")
            Hop("mailing", observes: StockReserved.self)
        }
        let problem = try #require(flow.problems().first)
        #expect(kinds(flow) == [.deadEnd])
        #expect(problem.participants == ["mailing"])
        #expect(problem.message.contains("the way OrderPlaced, StockReserved stops with StockReserved"))
    }

    @Test func aHopOfWhichNothingComesIsADeadEnd() throws {
        let flow = checkout(without: "orders", on: StockReserved.type) { Hop("orders", on: StockReserved.self) }
        let problem = try #require(flow.problems().first)
        #expect(kinds(flow) == [.deadEnd])
        #expect(problem.message.contains("nothing comes of 'orders on StockReserved'"))
    }

    @Test func aFailureThatNobodyIsToldOfIsADeadEnd() throws {
        let flow = checkout(without: "payments", on: OrderPlaced.type) {
            Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self).fails()
        }
        let problem = try #require(flow.problems().first)
        #expect(problem.kind == .deadEnd)
        #expect(problem.message.contains("'payments on OrderPlaced' fails and tells nobody"))
    }

    @Test func aHopThatWaitsInVainIsNamedWithWhatIsMissing() throws {
        let flow = Choreography("joined") {
            Hop("orders").emits(OrderPlaced.self, needsUndo: false)
            Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).emits(PaymentFailed.self)
            Hop("inventory", on: OrderPlaced.self).emits(StockReserved.self)
            Hop("orders", on: PaymentSucceeded.self, StockReserved.self).ends("confirmed")
            Hop("mailing", observes: PaymentFailed.self)
        }
        let problem = try #require(flow.problems().first)
        #expect(kinds(flow) == [.deadEnd])
        #expect(problem.participants == ["orders"])
        #expect(problem.message.contains("waits in vain for PaymentSucceeded"))
    }

    @Test func aCycleWithAWayOutIsShownAndFine() throws {
        let flow = Choreography("again") {
            Hop("orders").emits(OrderPlaced.self)
            Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self)
            Hop("orders", on: PaymentFailed.self).undoes(OrderPlaced.self).emits(OrderPlaced.self).ends("cancelled")
            Hop("orders", on: PaymentSucceeded.self).ends("paid")
        }
        #expect(flow.problems().map(\.message) == [])
        let cycle = try #require(flow.cycles.first)
        #expect(flow.cycles.count == 1)
        #expect(cycle.map(\.participant) == ["payments", "orders"])
    }

    @Test func aCycleWithoutAWayOutIsNamed() throws {
        let flow = Choreography("round") {
            Hop("orders").emits(OrderPlaced.self, needsUndo: false)
            Hop("payments", on: OrderPlaced.self).ends("paid").emits(PaymentFailed.self)
            Hop("orders", on: PaymentFailed.self).emits(StockRejected.self)
            Hop("inventory", on: StockRejected.self).emits(PaymentFailed.self)
        }
        let problem = try #require(flow.problems().first)
        #expect(kinds(flow) == [.endlessCycle])
        #expect(problem.participants == ["orders", "inventory"])
        #expect(
            problem.message.contains("'orders on PaymentFailed' and 'inventory on StockRejected' go round for ever"))
    }

    @Test func endsThatContradictEachOtherAreNamed() throws {
        let flow = Choreography("two minds") {
            Hop("orders").emits(OrderPlaced.self)
            Hop("payments", on: OrderPlaced.self).ends("paid")
            Hop("inventory", on: OrderPlaced.self).ends("gone")
        }
        let problem = try #require(flow.problems().first)
        #expect(kinds(flow) == [.conflictingEnds])
        #expect(Set(problem.participants) == ["payments", "inventory"])
    }

    @Test func aFlowWithTooManyWaysIsSaidToBeTooLarge() {
        let flow = Choreography("wide") {
            Hop("orders").emits(OrderPlaced.self)
            for number in 0..<16 {
                Hop("part-\(number)", on: OrderPlaced.self).ends("done").ends("done", emitting: OrderCounted.self)
            }
            Hop("mailing", observes: OrderCounted.self)
        }
        #expect(kinds(flow) == [.tooLarge])
    }

    // MARK: Undoing

    @Test func aFailureThatDoesNotUndoWhatCameBeforeIsNamed() throws {
        // The order learns of the rejection directly, and nobody gives the money back.
        let flow = checkout(without: "payments", on: StockRejected.type) {
            Hop("orders", on: StockRejected.self).undoes(OrderPlaced.self).ends("cancelled")
        }
        let problem = try #require(flow.problems().first { $0.kind == .uncompensated })
        #expect(kinds(flow) == [.neverEmitted, .uncompensated])
        #expect(problem.participants == ["payments"])
        #expect(problem.events == [PaymentSucceeded.type, StockRejected.type])
        #expect(
            problem.message.contains("what payments did with PaymentSucceeded is not undone when StockRejected comes"))
        #expect(problem.message.contains(".undoes(PaymentSucceeded.self)"))
    }

    @Test func whatNeedsNoUndoingIsNotAskedFor() {
        let flow = Choreography("check") {
            Hop("orders").emits(OrderPlaced.self, needsUndo: false)
            Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self)
            Hop("orders", on: PaymentSucceeded.self).ends("paid")
            Hop("orders", on: PaymentFailed.self).ends("cancelled")
        }
        #expect(flow.problems().map(\.message) == [])
    }

    @Test func whatIsDoneAtTheSameTimeIsToBeUndoneToo() throws {
        // The stock is reserved while the card is declined.
        func flow(@HopBuilder _ more: () -> [Hop]) -> Choreography {
            let more = more()
            return Choreography("side by side") {
                Hop("orders").emits(OrderPlaced.self, needsUndo: false)
                Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self, needsUndo: false).fails(
                    PaymentFailed.self)
                Hop("inventory", on: OrderPlaced.self).emits(StockReserved.self)
                Hop("orders", on: PaymentSucceeded.self, StockReserved.self).ends("confirmed")
                Hop("orders", on: PaymentFailed.self).ends("cancelled")
                more
            }
        }
        let problem = try #require(flow {}.problems().first)
        #expect(flow {}.problems().map(\.kind) == [.uncompensated])
        #expect(problem.participants == ["inventory"])
        let mended = flow {
            Hop("inventory", on: PaymentFailed.self).undoes(StockReserved.self).emits(StockReleased.self)
            Hop("orders", observes: StockReleased.self)
        }
        #expect(mended.problems().map(\.message) == [])
    }

    @Test func aDeadlineThatPassesUndoesWhatComesTooLate() throws {
        func flow(@HopBuilder _ more: () -> [Hop]) -> Choreography {
            let more = more()
            return Choreography("in time") {
                Hop("orders").emits(OrderPlaced.self)
                Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self)
                Hop("orders", on: PaymentSucceeded.self).ends("paid")
                Hop("orders", deadline: "unpaid", after: OrderPlaced.self).undoes(OrderPlaced.self).fails(
                    OrderExpired.self)
                more
            }
        }
        let forgetful = flow { Hop("payments", observes: OrderExpired.self) }
        #expect(kinds(forgetful) == [.uncompensated])
        #expect(try #require(forgetful.problems().first).participants == ["payments"])
        let mended = flow {
            Hop("payments", on: OrderExpired.self).undoes(PaymentSucceeded.self).ends(
                "expired", emitting: PaymentRefunded.self)
            Hop("mailing", observes: PaymentRefunded.self)
        }
        // Who is to say whether the order was paid or has expired: one participant must.
        #expect(kinds(mended) == [.conflictingEnds])
        let decided = flow {
            Hop("payments", on: OrderExpired.self).undoes(PaymentSucceeded.self).emits(PaymentRefunded.self)
            Hop("orders", on: PaymentRefunded.self).ends("expired")
        }
        #expect(decided.problems().map(\.message) == [])
    }

    @Test func nobodyUndoesWhatAnotherDid() throws {
        let flow = checkout(without: "payments", on: StockRejected.type) {
            Hop("inventory", on: StockRejected.self).undoes(PaymentSucceeded.self).emits(PaymentRefunded.self)
        }
        let problem = try #require(flow.problems().first)
        #expect(kinds(flow) == [.foreignUndo])
        #expect(problem.participants == ["inventory", "payments"])
    }

    @Test func undoingWhatNobodyDoesIsNamed() throws {
        let flow = checkout(without: "orders", on: PaymentFailed.type) {
            Hop("orders", on: PaymentFailed.self).undoes(OrderPlaced.self, OrderExpired.self).ends("cancelled")
        }
        #expect(kinds(flow) == [.undoesNothing])
        #expect(try #require(flow.problems().first).events == [OrderExpired.type])
    }
}
