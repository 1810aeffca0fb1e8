// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation
import Synchronization

/// Where this process stands, in a file that outlives it: whoever kills it can read there what was under way.
///
/// The file holds a record of 40 bytes for each point: its name, padded with zeros to 32 bytes, and how many messages stand
/// there now, as a little-endian integer of 64 bits.
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

    private static let nameBytes = 32
    private static let recordBytes = 40

    /// The mapped file.
    ///
    /// It is written under the lock only, and unmapped by the end of the process.
    private struct Memory: @unchecked Sendable {
        let start: UnsafeMutableRawPointer

        func add(_ count: Int64, at point: Point) {
            let place = point.rawValue * CrashPoints.recordBytes + CrashPoints.nameBytes
            let old = start.load(fromByteOffset: place, as: Int64.self)
            start.storeBytes(of: max(0, old + count), toByteOffset: place, as: Int64.self)
        }
    }

    private let memory: Mutex<Memory>

    /// Opens the file that the environment variable `ORDER_CHECKOUT_CRASH_POINTS` names.
    ///
    /// - Returns: `nil` if it names none, or one that cannot be written.
    static func fromEnvironment() -> CrashPoints? {
        guard let path = ProcessInfo.processInfo.environment["ORDER_CHECKOUT_CRASH_POINTS"] else { return nil }
        return CrashPoints(path: path)
    }

    private init?(path: String) {
        let size = Point.allCases.count * Self.recordBytes
        let descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard ftruncate(descriptor, off_t(size)) == 0,
            let start = mmap(nil, size, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0), start != MAP_FAILED
        else { return nil }
        memset(start, 0, size)
        for point in Point.allCases {
            let name = Array(point.name.utf8.prefix(Self.nameBytes))
            (start + point.rawValue * Self.recordBytes).copyMemory(from: name, byteCount: name.count)
        }
        memory = Mutex(Memory(start: start))
    }

    func enter(_ point: Point, _ count: Int = 1) {
        memory.withLock { $0.add(Int64(count), at: point) }
    }

    func leave(_ point: Point, _ count: Int = 1) {
        memory.withLock { $0.add(-Int64(count), at: point) }
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
