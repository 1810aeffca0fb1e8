// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// One handing out of a message, until it is settled.
struct InFlightMessage: Sendable {
    let number: UInt64
    let member: InMemoryMember
    let lane: Int
    let message: PendingMessage
}

/// What is handed out and not settled, in slots that are used again, so that a delivery is found without a search.
///
/// The number of a delivery is its slot, below a number that no other delivery of the transport has: a number from elsewhere,
/// or one that was settled before, finds nothing.
struct InFlightTable: Sendable {
    private static let slotBits: UInt64 = 24

    private var slots: [InFlightMessage?] = []
    private var free: [Int] = []
    private var unique: DeliveryNumbers.Block

    init(numbers: DeliveryNumbers) {
        unique = DeliveryNumbers.Block(source: numbers)
    }

    var count: Int { slots.count - free.count }
    /// How many more it can take.
    var room: Int { (1 << Int(Self.slotBits)) - count }

    mutating func insert(_ message: PendingMessage, lane: Int, member: InMemoryMember) -> UInt64 {
        let slot = free.popLast() ?? slots.count
        let number = unique.next() << Self.slotBits | UInt64(slot)
        if slot == slots.count { slots.append(nil) }
        slots[slot] = InFlightMessage(number: number, member: member, lane: lane, message: message)
        return number
    }

    /// Removes a delivery; `nil` if it is not there any more, or not the member's.
    mutating func remove(_ number: UInt64, of member: InMemoryMember) -> InFlightMessage? {
        let slot = Int(number & (1 << Self.slotBits - 1))
        guard slot < slots.count, let flight = slots[slot], flight.number == number, flight.member === member else {
            return nil
        }
        slots[slot] = nil
        free.append(slot)
        return flight
    }

    /// Removes all deliveries of a member, in the order of their messages.
    mutating func removeAll(of member: InMemoryMember) -> [InFlightMessage] {
        var removed: [InFlightMessage] = []
        for slot in slots.indices {
            guard let flight = slots[slot], flight.member === member else { continue }
            slots[slot] = nil
            free.append(slot)
            removed.append(flight)
        }
        return removed.sorted { ($0.lane, $0.message.offset) < ($1.lane, $1.message.offset) }
    }
}

/// Gives numbers that are unique in a transport, in blocks, so that topics seldom meet here.
final class DeliveryNumbers: Sendable {
    private let blocks = Atomic<UInt64>(0)

    /// A block of numbers, and the way to the next one.
    struct Block: Sendable {
        private static let size: UInt64 = 1024
        let source: DeliveryNumbers
        private var current: UInt64 = 0
        private var left: UInt64 = 0

        init(source: DeliveryNumbers) {
            self.source = source
        }

        mutating func next() -> UInt64 {
            if left == 0 {
                current = source.blocks.wrappingAdd(1, ordering: .relaxed).oldValue &* Self.size
                left = Self.size
            }
            left -= 1
            current &+= 1
            return current
        }
    }
}
