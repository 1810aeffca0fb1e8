// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What a member of a group in a ``SQLTransport`` has in hand.
struct HeldDeliveries: Sendable {
    struct Held: Sendable, Hashable {
        let row: Int64
        let lane: Int64
    }

    private var lastNumber: UInt64 = 0
    private var held: [UInt64: Held] = [:]
    private var numbers: [Int64: UInt64] = [:]
    /// How many deliveries of a lane are in hand.
    private var counts: [Int64: Int] = [:]

    var isEmpty: Bool { held.isEmpty }

    /// The lanes of which something is in hand.
    var lanes: [Int64] { counts.keys.sorted() }

    /// Whether something of a lane is in hand.
    func holds(_ lane: Int64) -> Bool { counts[lane] != nil }

    /// Notes a delivery that is handed out.
    ///
    /// - Returns: Its number. A row that comes a second time, because its lease ran out, is known by its new number only.
    mutating func add(_ row: Int64, lane: Int64) -> UInt64 {
        if let old = numbers[row] { drop(old) }
        lastNumber += 1
        held[lastNumber] = Held(row: row, lane: lane)
        numbers[row] = lastNumber
        counts[lane, default: 0] += 1
        return lastNumber
    }

    /// Sorts settlements by what they say of rows that are in hand.
    func ended(by settlements: [Settlement]) -> EndedDeliveries {
        var ended = EndedDeliveries()
        var seen: Set<UInt64> = []
        var left: [Int64: Int] = [:]
        for settlement in settlements {
            let number = settlement.delivery.number
            guard let held = held[number], seen.insert(number).inserted else { continue }
            ended.numbers.append(number)
            switch settlement.outcome {
            case .acknowledge, .reject: ended.done.append(held.row)
            case .retry(let delay): ended.delayed[delay, default: []].append(held.row)
            case .release: ended.released.append(held.row)
            }
            left[held.lane, default: counts[held.lane] ?? 0] -= 1
        }
        ended.lanes = left.keys.sorted()
        ended.freedLanes = left.filter { $0.value <= 0 }.keys.sorted()
        return ended
    }

    /// Forgets deliveries that were settled.
    mutating func remove(_ ended: EndedDeliveries) {
        for number in ended.numbers { drop(number) }
    }

    private mutating func drop(_ number: UInt64) {
        guard let old = held.removeValue(forKey: number) else { return }
        if numbers[old.row] == number { numbers[old.row] = nil }
        let left = (counts[old.lane] ?? 1) - 1
        counts[old.lane] = left > 0 ? left : nil
    }
}

/// Deliveries by what became of them.
struct EndedDeliveries: Sendable {
    var numbers: [UInt64] = []
    var done: [Int64] = []
    var delayed: [Duration: [Int64]] = [:]
    var released: [Int64] = []
    /// All lanes that these were in.
    var lanes: [Int64] = []
    /// Lanes of which nothing is left in hand.
    var freedLanes: [Int64] = []

    var isEmpty: Bool { numbers.isEmpty }

    /// Whether some come again.
    var hasReturned: Bool { !delayed.isEmpty || !released.isEmpty }
}
