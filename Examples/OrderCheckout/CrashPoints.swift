// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport

/// Where this process stands, for whoever kills it: how many messages are at which point.
final class CrashPoints: Sendable {
    enum Point: Int, CaseIterable {
        /// The relay has claimed the row, or read it from the log, and the bus has not answered.
        case claimed
        /// The bus has the message, and the row does not say so yet.
        case publishedUnmarked
        /// The row is done, and no consumer has the message yet.
        case marked
        /// A consumer has the message, and its handler has not committed.
        case receivedUnhandled
        /// The handler has committed, and the bus does not know yet.
        case handledUnacknowledged
        /// Somebody outside was asked, and what came of it is not recorded.
        case askedUnrecorded

        var name: String {
            switch self {
            case .claimed: "claimed"
            case .publishedUnmarked: "published but unmarked"
            case .marked: "marked"
            case .receivedUnhandled: "received but unhandled"
            case .handledUnacknowledged: "handled but unacknowledged"
            case .askedUnrecorded: "called but unrecorded"
            }
        }
    }

    private let file: PointsFile

    /// Opens the file that the environment variable `ORDER_CHECKOUT_CRASH_POINTS` names.
    ///
    /// - Returns: `nil` if it names none, or one that cannot be written.
    static func fromEnvironment() -> CrashPoints? {
        PointsFile(namedBy: "ORDER_CHECKOUT_CRASH_POINTS", points: Point.allCases.map(\.name)).map(CrashPoints.init)
    }

    private init(_ file: PointsFile) {
        self.file = file
    }

    func enter(_ point: Point, _ count: Int = 1) {
        file.add(count, at: point.rawValue)
    }

    func leave(_ point: Point, _ count: Int = 1) {
        file.add(-count, at: point.rawValue)
    }
}

extension CrashPoints: Instrument {
    func record<E: InstrumentEvent>(_ event: E) {
        switch event {
        case let event as OutboxClaimed: enter(.claimed, event.count)
        case is MessageRelayed:
            leave(.publishedUnmarked)
            enter(.marked)
        case is MessageReceived:
            leave(.marked)
            enter(.receivedUnhandled)
        case is MessageHandled:
            leave(.receivedUnhandled)
            enter(.handledUnacknowledged)
        case is MessageDelayed: leave(.receivedUnhandled)
        default: break
        }
    }
}

/// A bus that tells the crash points when it has taken messages, and when it knows what became of them.
struct WatchedBus<Inner: Transport>: Transport {
    let inner: Inner
    let points: CrashPoints?
    /// Whether what comes here was claimed by nobody, and so told by nobody.
    let isFromLog: Bool

    var capabilities: TransportCapabilities { inner.capabilities }

    func publish(_ envelopes: [Envelope<Bytes>]) async throws -> [PublishResult] {
        if isFromLog { points?.enter(.claimed, envelopes.count) }
        let results = try await inner.publish(envelopes)
        if let points {
            points.enter(.publishedUnmarked, results.count { if case .published = $0 { true } else { false } })
            points.leave(.claimed, envelopes.count)
        }
        return results
    }

    func subscribe(to topics: [Topic], as group: ConsumerGroup) async throws -> Subscription {
        Subscription(inner: try await inner.subscribe(to: topics, as: group), points: points)
    }

    struct Subscription: TransportSubscription {
        let inner: Inner.Subscription
        let points: CrashPoints?

        func next(atMost limit: Int) async throws -> [Delivery] { try await inner.next(atMost: limit) }

        func settle(_ settlements: [Settlement]) async throws {
            try await inner.settle(settlements)
            points?.leave(.handledUnacknowledged, settlements.count { $0.outcome == .acknowledge })
        }

        func close() async { await inner.close() }
    }
}
