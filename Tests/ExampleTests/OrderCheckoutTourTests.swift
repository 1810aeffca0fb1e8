// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation
import Testing

@testable import OrderCheckout

/// When the tour of OrderCheckout ends, without the processes that it looks on.
@Suite(.timeLimit(.minutes(10))) struct OrderCheckoutTourTests {
    /// A page of a tour with three orders.
    private static func page(
        total: Int? = 3, ended: Int, waiting: Int = 0, _ state: TourPage.State = .running(1)
    ) -> TourPage {
        let row = TourPage.Row(
            name: "order", state: state, unsent: 0, waiting: waiting, lag: .zero, kills: 0, history: [])
        return TourPage(
            elapsed: .zero, total: total, accepted: 3, confirmed: ended, cancelled: 0, rows: [row], message: "")
    }

    /// Whether the tour rests at each of some pages, by seconds.
    private static func rests(_ pages: [(second: Int, page: TourPage)]) -> [Bool] {
        var watch = TourWatch(services: 1, patience: .seconds(18))
        return pages.map { second, page in
            watch.isAtRest(page, at: MonotonicInstant(nanoseconds: 0) + .seconds(second))
        }
    }

    @Test("When all orders have ended, a moment is enough")
    func allEnded() {
        let page = Self.page(ended: 3)
        #expect(Self.rests([(0, page), (1, page), (2, page), (3, page)]) == [false, false, false, true])
    }

    @Test("Orders that never end hold it up for a while, not for ever")
    func neverEnding() {
        let page = Self.page(ended: 2)
        #expect(Self.rests([(0, page), (1, page), (18, page), (20, page)]) == [false, false, false, true])
    }

    @Test(
        "Whatever is under way begins the wait anew",
        arguments: [page(ended: 1), page(ended: 2, waiting: 1), page(ended: 2, .killed(startsIn: .zero))])
    func underWay(other: TourPage) {
        let page = Self.page(ended: 2)
        let rests = Self.rests([(0, page), (1, page), (10, other), (11, page), (12, page), (29, page), (31, page)])
        #expect(rests == [false, false, false, false, false, false, true])
    }

    @Test("Before the end of the file there is no rest")
    func beforeTheEnd() {
        let page = Self.page(total: nil, ended: 3)
        #expect(Self.rests([(0, page), (1, page), (60, page)]) == [false, false, false])
    }

    @Test("What the orders cannot be taken in for ends it with the next page")
    func intakeFailed() async throws {
        let shop = try Shop<InMemoryDatabase, InMemoryTransport>.inMemory()
        let tour = Tour(
            shop: shop, desk: try shop.desk, arguments: [], folder: FileManager.default.temporaryDirectory)
        let taken = Taken()
        taken.end(with: .failure(OrderFile.Missing(message: "It is a folder.")))
        await #expect(throws: OrderFile.Missing.self) {
            var watch = TourWatch(services: 0, patience: .zero)
            _ = try await tour.page([], taken, &watch, elapsed: .zero, message: "")
        }
    }
}
