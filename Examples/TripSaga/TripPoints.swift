// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Synchronization

/// Where the trips stand that this process has in hand, for whoever kills it.
final class TripPoints: Sendable {
    enum Point: Int, CaseIterable {
        /// The engine has claimed the trip, and has done nothing with it yet.
        case claimed
        /// That the step begins is stored, and nobody was called yet.
        case startedUncalled
        /// The step was done, and what came of it is not stored.
        case calledUnrecorded
        /// It is stored that the trip is undone, and it is not undone yet.
        case compensating
        /// A step was undone, and that is not stored.
        case undoneUnrecorded
        /// A message for a trip has come, and no trip has it yet.
        case receivedUntaken

        var name: String {
            switch self {
            case .claimed: "claimed"
            case .startedUncalled: "started but uncalled"
            case .calledUnrecorded: "called but unrecorded"
            case .compensating: "compensating"
            case .undoneUnrecorded: "undone but unrecorded"
            case .receivedUntaken: "received but untaken"
            }
        }
    }

    private let file: PointsFile
    /// By trip, by trip and step, or by message: where it stands.
    private let places = Mutex<[String: Point]>([:])

    /// Opens the file that the environment variable `TRIP_SAGA_CRASH_POINTS` names.
    ///
    /// - Returns: `nil` if it names none, or one that cannot be written.
    static func fromEnvironment() -> TripPoints? {
        PointsFile(namedBy: "TRIP_SAGA_CRASH_POINTS", points: Point.allCases.map(\.name)).map(TripPoints.init)
    }

    private init(_ file: PointsFile) {
        self.file = file
    }

    func claimed(_ rows: [SagaRow]) {
        for row in rows {
            move(row.id.rawValue, to: .claimed)
            if row.status == .compensating { move(undoing(row.id), to: .compensating) }
        }
    }

    /// A step or a compensation calls somebody.
    ///
    /// - Parameter key: The idempotency key, which is that of the trip with the step behind it.
    func calls(_ key: String) {
        move(String(key.prefix { $0 != "/" }), to: nil)
        move(key, to: nil)
    }

    /// What a step or a compensation asked for was done.
    func done(_ key: String, isUndo: Bool) {
        move(key, to: isUndo ? .undoneUnrecorded : .calledUnrecorded)
    }

    private func undoing(_ id: SagaID) -> String { "\(id) undoing" }

    private func move(_ thing: String, to point: Point?) {
        let before = places.withLock { places in
            defer { places[thing] = point }
            return places[thing]
        }
        guard before != point else { return }
        if let before { file.add(-1, at: before.rawValue) }
        if let point { file.add(1, at: point.rawValue) }
    }

    /// Whatever the process does with the trip now counts for nothing: another engine has it.
    private func forget(_ id: SagaID) {
        let things = places.withLock { places in
            places.keys.filter { $0 == id.rawValue || $0 == undoing(id) || $0.hasPrefix("\(id)/") }
        }
        for thing in things { move(thing, to: nil) }
    }
}

extension TripPoints: Instrument {
    func record<E: InstrumentEvent>(_ event: E) {
        switch event {
        case let event as SagaRecorded: committed(event.record)
        case let event as SagaEngineFailed: if let id = event.id { forget(id) }
        case let event as MessageReceived where event.consumer == Options.inbox:
            move("message \(event.attributes.id)", to: .receivedUntaken)
        case let event as MessageHandled where event.consumer == Options.inbox:
            move("message \(event.attributes.id)", to: nil)
        default: break
        }
    }

    private func committed(_ record: SagaRecord) {
        let id = record.sagaID
        move(id.rawValue, to: nil)
        switch record.kind {
        case .compensating: move(undoing(id), to: .compensating)
        case .completed, .compensated, .cancelled, .parked: forget(id)
        default: break
        }
        guard let step = record.step else { return }
        switch record.kind {
        case .stepStarted, .undoStarted: move("\(id)/\(step)", to: .startedUncalled)
        case .stepDone, .stepFailed, .stepRefused, .undone, .undoFailed: move("\(id)/\(step)", to: nil)
        default: break
        }
    }
}
