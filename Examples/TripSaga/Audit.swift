// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What came of a run.
struct Outcome: Sendable {
    let audit: Audit
    /// That of one trip, to be shown.
    let history: SagaHistory
    /// How often an engine was killed.
    let kills: Int
}

/// What the rows say when all is over.
struct Audit: Sendable {
    var counts: [SagaStatus: Int] = [:]
    var takeovers = 0
    var failedAttempts = 0
    /// What is not as it must be, by trip.
    var violations: [String] = []

    static func make<DB: CityDatabase>(_ database: DB, options: Options) async throws -> Audit {
        let services = TripServices(database: database, bus: InMemoryTransport(), options: options)
        let engine = try services.engine()
        let city = City(database: database, options: options)
        var audit = Audit()
        for number in 1...options.trips {
            let id = Options.id(of: number)
            guard let instance = try await engine.instance(id) else {
                audit.violations.append("\(id): was never started")
                continue
            }
            let history = try await engine.history(of: id).records
            audit.counts[instance.status, default: 0] += 1
            audit.takeovers += history.count { $0.kind == .takenOver }
            audit.failedAttempts += history.count { $0.kind == .stepFailed || $0.kind == .undoFailed }
            audit.judge(id, instance.status, try await city.read(number), history)
        }
        return audit
    }

    private mutating func judge(_ id: SagaID, _ status: SagaStatus, _ books: Books, _ history: [SagaRecord]) {
        var wrong: [String] = []
        switch status {
        case .completed:
            if books.rides != 1 { wrong.append("\(books.rides) rides") }
            if books.captures != books.rides { wrong.append("\(books.rides) rides, paid \(books.captures) times") }
            if books.holds != 1 { wrong.append("\(books.holds) holds") }
            if books.refunds != 0 { wrong.append("ridden and refunded") }
            if books.receipts != 1 { wrong.append("\(books.receipts) receipts") }
            if books.drivers - books.freed != 1 { wrong.append("\(books.drivers - books.freed) drivers") }
        case .compensated, .cancelled:
            if books.rides != 0 { wrong.append("ridden although \(status)") }
            if books.captures != 0 { wrong.append("charged although \(status)") }
            if books.refunds != books.holds { wrong.append("\(books.holds) holds, \(books.refunds) refunds") }
            if books.freed != books.drivers { wrong.append("its driver still waits") }
        default: wrong.append("stands as \(status)")
        }
        if history.last?.kind.rawValue != status.rawValue { wrong.append("its history does not end with its end") }
        if history.map(\.number) != Array(1...Int64(max(1, history.count))) { wrong.append("its history has gaps") }
        violations += wrong.map { "\(id): \($0)" }
    }
}
