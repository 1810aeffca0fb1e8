// SPDX-License-Identifier: Apache-2.0

/// Remembers the lanes whose first message was given back to the transport, until it is certain that what comes is in order.
///
/// Between the decision to give a message back and the moment in which the transport has heard of it, the transport may hand
/// out later messages of the lane. Those must not be handled, but be given back as well.
struct ReturnedLanes<Lane: Hashable & Sendable, Message: Hashable & Sendable>: Sendable {
    private struct Return: Sendable {
        let message: Message
        /// The last pull that may have been answered before the transport knew; `nil` while it does not know.
        var lastSuspect: UInt64?
    }

    private var lanes: [Lane: Return] = [:]

    var isEmpty: Bool { lanes.isEmpty }

    /// A message is about to be given back.
    mutating func willReturn(_ message: Message, of lane: Lane) {
        lanes[lane] = Return(message: message)
    }

    /// The transport knows; pulls up to this one may have been answered before.
    mutating func didReturn(_ message: Message, of lane: Lane, lastPull: UInt64) {
        guard lanes[lane]?.message == message, lanes[lane]?.lastSuspect == nil else { return }
        lanes[lane]?.lastSuspect = lastPull
    }

    /// A pull begins: what was only suspected of pulls before it is settled.
    mutating func willPull(_ pull: UInt64) {
        guard !lanes.isEmpty else { return }
        lanes = lanes.filter { lane, returned in returned.lastSuspect.map { $0 >= pull } ?? true }
    }

    /// Whether a message that came with a pull is in its turn; if not, it is to be given back.
    mutating func admits(_ message: Message, of lane: Lane, pull: UInt64) -> Bool {
        guard let returned = lanes[lane] else { return true }
        let isCertain = returned.lastSuspect.map { pull > $0 } ?? false
        guard isCertain || returned.message == message else { return false }
        lanes[lane] = nil
        return true
    }
}
