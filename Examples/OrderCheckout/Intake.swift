// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Foundation

/// How far a file of orders was taken in.
///
/// It is written in the transaction of each order, so that a run that was cut off goes on exactly behind the last one.
struct IntakePosition: Codable, Sendable {
    static let key = "position"

    /// The file; another one is not its continuation.
    let file: String
    /// What decides the fate of each order; a run that goes on keeps it.
    let seed: UInt64
    var line: Int
    var accepted: Int

    static func table<DB: TableDatabase>(in database: DB) -> Table<DB, IntakePosition> {
        database.table("intake", of: IntakePosition.self)
    }
}

/// Takes the orders of a file in, one after the other.
struct Intake<DB: ShopDatabase, Bus: Transport>: Sendable {
    /// How many orders may be under way before the next one is taken in.
    static var mostUnderWay: Int { 4096 }

    let service: OrderService<DB, Bus>
    let options: Options
    let bookkeeper: Bookkeeper
    /// Says how many orders have ended.
    let countEnded: @Sendable () async throws -> Int
    /// Told now and then how many orders were taken in.
    let onProgress: @Sendable (_ accepted: Int) -> Void
    /// The most orders a second; as many as go if `nil`.
    var rate: Double?

    /// What came of it.
    struct Outcome: Sendable {
        var accepted: Int
        /// An order whose journey is worth telling.
        var interest: String?
    }

    /// Takes the orders in that are not in yet.
    func run(_ file: consuming OrderFile, from start: IntakePosition) async throws -> Outcome {
        var position = start
        var first: String?
        var refunded: String?
        var ended = 0
        var taken = 0
        let time = Runtime.current.time
        let started = time.monotonic()
        while let line = try file.next() {
            guard line.number > start.line else { continue }
            position.line = line.number
            switch line {
            case .order(let order, _, let text):
                if first == nil {
                    first = order.orderID
                    bookkeeper.follow(order.orderID)
                }
                // An order that is paid and then finds nothing in stock has the longest story.
                if refunded == nil, hasLongStory(order) {
                    refunded = order.orderID
                    bookkeeper.follow(order.orderID)
                }
                try await place(order, from: text, of: file.name, &position)
            case .unreadable(let number, let text, let reason):
                try await reject(file.name, number, text, reason, position)
            }
            taken += 1
            if let rate {
                try await time.sleep(until: started + .seconds(Double(taken) / rate))
                onProgress(position.accepted)
            } else if taken % 256 == 0 {
                onProgress(position.accepted)
                try await makeRoom(position.accepted, &ended)
            }
        }
        onProgress(position.accepted)
        return Outcome(accepted: position.accepted, interest: refunded ?? first)
    }

    private func hasLongStory(_ order: OrderLine) -> Bool {
        let chance = Chance(seed: options.seed)
        return chance.decides("stock", of: order.orderID, with: options.outOfStock)
            && !chance.decides("decline", of: order.orderID, with: options.decline)
    }

    private func place(
        _ order: OrderLine, from text: [UInt8], of file: String, _ position: inout IntakePosition
    ) async throws {
        do {
            var next = position
            next.accepted += 1
            try await write(next) { try await service.place(order, position: next) }
            position = next
        } catch let error as DatabaseError where error.code == .versionConflict {
            let reason = "the order '\(order.orderID)' was seen before"
            try await reject(file, position.line, text, reason, position)
        }
    }

    private func reject(
        _ file: String, _ number: Int, _ text: [UInt8], _ reason: String, _ position: IntakePosition
    ) async throws {
        FileHandle.standardError.write(Data("\(file):\(number): \(reason)\n".utf8))
        let line = RejectedLine(file: file, line: number, reason: reason, bytes: text)
        try await write(position) { try await service.keep(line, position: position) }
    }

    /// Commits something with a position, once: where the answer to a commit was lost, the position says whether it took place.
    private func write(_ position: IntakePosition, _ body: () async throws -> Void) async throws {
        let positions = IntakePosition.table(in: service.parts.database)
        try await Persistence.run { isUnclear in
            if isUnclear, let last = try await positions.get(IntakePosition.key), last.line >= position.line { return }
            try await body()
        }
    }

    /// Holds the next orders back while too many are under way and orders still end.
    private func makeRoom(_ accepted: Int, _ ended: inout Int) async throws {
        guard accepted - ended > Self.mostUnderWay else { return }
        ended = try await countEnded()
        while accepted - ended > Self.mostUnderWay {
            try await Runtime.current.time.sleep(for: .milliseconds(100))
            let now = try await countEnded()
            // Without a protection some orders never end; they must not hold up the rest.
            if now == ended { return }
            ended = now
            onProgress(accepted)
        }
    }
}

extension OrderFile.Line {
    /// The number of the line, counted from 1.
    var number: Int {
        switch self {
        case .order(_, let number, _), .unreadable(let number, _, _): number
        }
    }
}
