// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSimulation
import Synchronization
import Testing

@testable import DovetailBulkhead

/// What several tasks write to.
final class Shared<Value: Sendable>: Sendable {
    private let storage: Mutex<Value>

    init(_ value: Value) {
        storage = Mutex(value)
    }

    var value: Value { storage.withLock { $0 } }

    @discardableResult
    func change<Result: Sendable>(_ body: (inout Value) -> Result) -> Result {
        storage.withLock { value in body(&value) }
    }
}

/// Counts what is under way, and the most that ever was.
final class Gauge: Sendable {
    private let now = Atomic<Int>(0)
    private let peak = Atomic<Int>(0)

    var most: Int { peak.load(ordering: .relaxed) }
    var current: Int { now.load(ordering: .relaxed) }

    func enter() {
        let count = now.add(1, ordering: .relaxed).newValue
        _ = peak.max(count, ordering: .relaxed)
    }

    func leave() {
        now.subtract(1, ordering: .relaxed)
    }
}

/// Keeps the events of bulkheads.
final class Recorder: Instrument {
    let rejections = Shared<[BulkheadRejected]>([])
    let waits = Shared<[BulkheadWaited]>([])
    let resizes = Shared<[BulkheadResized]>([])

    func record<E: InstrumentEvent>(_ event: E) {
        switch event {
        case let event as BulkheadRejected: rejections.change { $0.append(event) }
        case let event as BulkheadWaited: waits.change { $0.append(event) }
        case let event as BulkheadResized: resizes.change { $0.append(event) }
        default: break
        }
    }
}

/// A clock for races on real threads: a sleep is over after a few turns, of a number that changes from sleep to sleep.
final class ShortSleeps: TimeSource {
    private let sleeps = Atomic<Int>(0)
    private let turns: Int

    /// - Parameter turns: The most turns a sleep takes.
    init(turns: Int) {
        self.turns = turns
    }

    func now() -> Timestamp { Timestamp(secondsSinceEpoch: 0) }
    func monotonic() -> MonotonicInstant { MonotonicInstant(nanoseconds: 0) }

    func sleep(until deadline: MonotonicInstant) async throws {
        let count = sleeps.add(1, ordering: .relaxed).newValue
        for _ in 0..<(count &* 7 % turns) {
            try Task.checkCancellation()
            await Task.yield()
        }
        try Task.checkCancellation()
    }
}

/// Runs the body on the seeded executor, in virtual time.
func simulated<Result: Sendable>(
    _ seed: UInt64, instrument: (any Instrument)? = nil,
    _ body: @escaping @Sendable (VirtualTime) async throws -> Result
) async throws -> Result {
    let simulation = Simulation(seed: seed, instrument: instrument)
    return try await simulation.run { try await body(simulation.time) }
}

/// The code of the error that a body throws; `nil` if it throws none or another one.
func code(of body: () async throws -> Void) async -> BulkheadError.Code? {
    do {
        try await body()
        return nil
    } catch {
        return (error as? BulkheadError)?.code
    }
}

/// Waits until a bulkhead has so many callers waiting.
func untilWaiting(_ count: Int, at bulkhead: Bulkhead) async {
    while bulkhead.snapshot().waiting != count { await Task.yield() }
}

/// Holds a permit for closures, which cannot consume what they capture.
final class Slot: Sendable {
    private let permit: Mutex<Bulkhead.Permit?>

    init(_ permit: consuming sending Bulkhead.Permit?) {
        self.permit = Mutex(permit)
    }

    func release() {
        permit.withLock { permit in permit = nil }
    }
}

/// For permits, which cannot be handed to `#expect`.
func isHeld(_ permit: borrowing Bulkhead.Permit?) -> Bool { permit != nil }

extension Bulkhead {
    /// Whether a permit can be had now; it is given back at once.
    var hasPermit: Bool { tryAcquire() != nil }

    /// Whether all permits are free, nobody waits and the word counts: nothing was lost.
    var isIdle: Bool {
        let figures = snapshot()
        return figures.inUse == 0 && figures.waiting == 0 && core.word.load(ordering: .relaxed) == figures.limit
    }
}

/// Every order in which the steps of several actors can take their turns, each actor's own steps staying in order.
func interleavings(of lengths: [Int]) -> [[Int]] {
    guard lengths.contains(where: { $0 > 0 }) else { return [[]] }
    return lengths.indices.filter { lengths[$0] > 0 }.flatMap { actor in
        var rest = lengths
        rest[actor] -= 1
        return interleavings(of: rest).map { [actor] + $0 }
    }
}
