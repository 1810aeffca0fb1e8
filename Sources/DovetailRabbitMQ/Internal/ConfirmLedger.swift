// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What was published on a channel and is not confirmed yet.
///
/// The broker numbers what is published on a channel, from 1, and confirms by number: one, or all up to one. Before it
/// confirms a message that it had no queue for, it returns it, without its number.
struct ConfirmLedger<Ticket: Sendable>: Sendable {
    enum Outcome: Sendable, Hashable {
        case stored
        /// No queue is bound for it.
        case unroutable
        /// A queue is full, or could not store it.
        case refused
    }

    private struct Entry: Sendable {
        let ticket: Ticket
        let id: String?
        let exchange: String
        let sentAt: MonotonicInstant
        var isReturned = false
    }

    private var entries: [UInt64: Entry] = [:]
    /// The number of the oldest message that may be unconfirmed.
    private var oldest: UInt64 = 1
    private var next: UInt64 = 1

    /// How many messages are under way.
    var count: Int { entries.count }

    /// When the oldest message under way was sent.
    var oldestSentAt: MonotonicInstant? { entries[oldest]?.sentAt }

    /// Notes a message that was published.
    mutating func sent(_ ticket: Ticket, id: String?, exchange: String, at now: MonotonicInstant) {
        entries[next] = Entry(ticket: ticket, id: id, exchange: exchange, sentAt: now)
        next += 1
    }

    /// Notes that a message came back; it is confirmed afterwards.
    mutating func returned(id: String?, exchange: String) {
        var number = oldest
        while number < next {
            if let entry = entries[number], entry.id == id, entry.exchange == exchange, !entry.isReturned {
                entries[number]?.isReturned = true
                return
            }
            number += 1
        }
    }

    /// Notes what the broker says of a message, or of all up to one.
    ///
    /// - Returns: What became of those that it is about, in their order.
    mutating func confirm(upTo number: UInt64, isMultiple: Bool, isStored: Bool) -> [(ticket: Ticket, Outcome)] {
        var outcomes: [(ticket: Ticket, Outcome)] = []
        // Zero stands for all that there are.
        let last = number == 0 ? next - 1 : min(number, next - 1)
        var current = isMultiple ? oldest : number
        while current <= last {
            if let entry = entries.removeValue(forKey: current) {
                outcomes.append((entry.ticket, entry.isReturned ? .unroutable : isStored ? .stored : .refused))
            }
            current += 1
        }
        while oldest < next, entries[oldest] == nil { oldest += 1 }
        return outcomes
    }

    /// Forgets all, since the channel is gone.
    ///
    /// - Returns: What was under way, in its order.
    mutating func drain() -> [Ticket] {
        let tickets = entries.sorted { $0.key < $1.key }.map(\.value.ticket)
        self = ConfirmLedger()
        return tickets
    }
}
