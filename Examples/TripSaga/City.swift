// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What the example needs of a database.
typealias CityDatabase = TableDatabase & OutboxDatabase & IdempotencyDatabase & SagaDatabase & WaitingRoomDatabase

/// What was done for a trip, as the services of the city have it in their books.
struct Books: Codable, Sendable, Equatable {
    var holds = 0
    var refunds = 0
    var drivers = 0
    var freed = 0
    var rides = 0
    var captures = 0
    var receipts = 0
}

/// The services that a trip asks: the bank, the drivers, the road.
///
/// They are not reliable, and some answers get lost.
struct City<DB: CityDatabase>: Sendable {
    struct NoAnswer: Error, CustomStringConvertible { let description = "no answer" }
    struct Declined: Error, CustomStringConvertible {
        let driver: Int
        var description: String { "driver \(driver) declines" }
    }

    let database: DB
    let options: Options
    var points: TripPoints?

    private var books: Table<DB, Books> { database.table("books", of: Books.self) }
    /// What was answered under a key: the same question gets the same answer.
    private var answers: Table<DB, Int> { database.table("answers", of: Int.self) }

    func hold(_ trip: Int, key: String) async throws { try await write(trip, "hold", key) { $0.holds += 1 } }

    func refund(_ trip: Int, key: String) async throws {
        // Nothing is given back of a hold that never was, and none can come afterwards under this key.
        let isHeld = try await known("hold", key)
        try await write(trip, "refund", key, isUndo: true) { $0.refunds += isHeld ? 1 : 0 }
        if !isHeld { try await write(trip, "hold", key) { _ in } }
    }

    func match(_ trip: Int, attempt: Int, key: String) async throws -> Int {
        let driver = Int(Runtime.current.random.next() % 50)
        // Some trips find nobody, however often they ask.
        if trip % 23 == 0 || Runtime.current.random.chance(options.declines) { throw Declined(driver: driver) }
        return try await write(trip, "match", key, answer: driver) { $0.drivers += 1 }
    }

    func free(_ trip: Int, key: String) async throws {
        let isMatched = try await known("match", key)
        try await write(trip, "free", key, isUndo: true) { $0.freed += isMatched ? 1 : 0 }
        if !isMatched { try await write(trip, "match", key) { _ in } }
    }

    func ride(_ trip: Int, key: String) async throws { try await write(trip, "ride", key) { $0.rides += 1 } }
    func capture(_ trip: Int, key: String) async throws { try await write(trip, "capture", key) { $0.captures += 1 } }
    func receipt(_ trip: Int, key: String) async throws { try await write(trip, "receipt", key) { $0.receipts += 1 } }

    func read(_ trip: Int) async throws -> Books { try await books.get("\(trip)") ?? Books() }

    /// An engine that is cut off from its database for so long that another takes its saga over.
    func stall(_ trip: Int, key: String) async throws {
        points?.calls(key)
        guard options.stalls(trip) else { return }
        let isFirst = try await database.withTransaction { tx in
            let stalls = database.table("stalls", of: Int.self)
            guard try await stalls.get("\(trip)", in: tx) == nil else { return false }
            try await stalls.put(1, at: "\(trip)", in: tx)
            return true
        }
        if isFirst { try? await Runtime.current.time.sleep(for: options.lease * 2) }
    }

    private func known(_ verb: String, _ key: String) async throws -> Bool {
        try await answers.get("\(verb) \(key)") != nil
    }

    @discardableResult
    private func write(
        _ trip: Int, _ verb: String, _ key: String, answer: Int = 0, isUndo: Bool = false,
        _ change: (inout Books) -> Void
    ) async throws -> Int {
        points?.calls(key)
        if Runtime.current.random.chance(options.faults / 2) { throw NoAnswer() }
        let result = try await database.withTransaction { tx in
            if options.isIdempotent, let known = try await answers.get("\(verb) \(key)", in: tx) { return known }
            var entry = try await books.get("\(trip)", in: tx) ?? Books()
            change(&entry)
            try await books.put(entry, at: "\(trip)", in: tx)
            try await answers.put(answer, at: "\(verb) \(key)", in: tx)
            return answer
        }
        points?.done(key, isUndo: isUndo)
        if Runtime.current.random.chance(options.faults / 2) { throw NoAnswer() }
        return result
    }
}
