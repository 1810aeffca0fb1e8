// SPDX-License-Identifier: Apache-2.0

/// How a wait ended.
enum WaitOutcome: Sendable, Hashable {
    /// With a permit, which belongs to the waiter from now on.
    case granted
    /// The longest wait was over.
    case timedOut
    /// Its task was cancelled.
    case cancelled
    /// The limit became zero, so that there is nothing to wait for.
    case turnedAway
}

/// Tells a suspended waiter how its wait ended; to be called once, with no lock held.
typealias Waker = @Sendable (WaitOutcome) -> Void

/// Names a waiter, and never another one after it.
struct Ticket: Sendable, Hashable {
    fileprivate let place: Int
    fileprivate let serial: UInt64

    /// Whether its waiter came before the other.
    func isBefore(_ other: Ticket) -> Bool { serial < other.serial }
}

/// Those who wait in a line, first come first served.
struct WaitLine: Sendable {
    fileprivate var first = -1
    fileprivate var last = -1
    /// How many wait.
    fileprivate(set) var count = 0

    var isEmpty: Bool { count == 0 }
}

/// The places of all who wait, in one or in many lines.
///
/// A waiter's life has three steps, each under the lock of the owner: it *queues* and gets its ticket; it *parks* with what
/// wakes it, or learns that its wait has ended already; it is *settled* once, by whoever comes first: a grant, the clock or
/// its cancellation. After that its ticket means nothing any more, so whoever comes second changes nothing.
///
/// Places are linked both ways, so that a waiter in the middle leaves in one step, and used again.
struct WaiterPool: Sendable {
    private enum Status: Sendable {
        case vacant
        /// Its task has not suspended yet.
        case queued
        case parked(Waker)
        /// Settled before its task suspended.
        case settled(WaitOutcome)
    }

    private struct Place: Sendable {
        var serial: UInt64
        var previous = -1
        var next = -1
        /// What the owner wants to know of the waiter.
        var tag: Int
        var status: Status
    }

    private var places: ContiguousArray<Place> = []
    private var firstVacant = -1
    private var lastSerial: UInt64 = 0

    /// How many places were ever needed at once.
    var capacity: Int { places.count }

    /// Puts a new waiter at the end of a line.
    mutating func queue(in line: inout WaitLine, tag: Int = 0) -> Ticket {
        lastSerial &+= 1
        let new = Place(serial: lastSerial, tag: tag, status: .queued)
        let index: Int
        if firstVacant >= 0 {
            index = firstVacant
            firstVacant = places[index].next
            places[index] = new
        } else {
            index = places.count
            places.append(new)
        }
        append(index, to: &line)
        return Ticket(place: index, serial: lastSerial)
    }

    /// Gives a queued waiter what wakes it.
    ///
    /// - Returns: How its wait ended, if it has ended already: it must not suspend then.
    mutating func park(_ ticket: Ticket, _ waker: @escaping Waker) -> WaitOutcome? {
        guard isCurrent(ticket) else { return .cancelled }
        if case .settled(let outcome) = places[ticket.place].status {
            vacate(ticket.place)
            return outcome
        }
        places[ticket.place].status = .parked(waker)
        return nil
    }

    /// Whether the waiter still stands in a line.
    func isWaiting(_ ticket: Ticket) -> Bool {
        guard isCurrent(ticket) else { return false }
        return switch places[ticket.place].status {
        case .queued, .parked: true
        case .vacant, .settled: false
        }
    }

    /// What the owner noted of a waiter.
    func tag(of ticket: Ticket) -> Int { places[ticket.place].tag }

    /// The waiter whose turn it is.
    func first(in line: WaitLine) -> Ticket? {
        line.first < 0 ? nil : Ticket(place: line.first, serial: places[line.first].serial)
    }

    /// The first of those who wait in a line.
    func tickets(in line: WaitLine, atMost count: Int) -> [Ticket] {
        var (found, index) = ([Ticket](), line.first)
        while index >= 0, found.count < count {
            found.append(Ticket(place: index, serial: places[index].serial))
            index = places[index].next
        }
        return found
    }

    /// Ends the wait of a waiter that stands in this line.
    mutating func settle(_ ticket: Ticket, in line: inout WaitLine, _ outcome: WaitOutcome, _ wakeups: inout Wakeups) {
        guard isWaiting(ticket) else { return }
        unlink(ticket.place, from: &line)
        if case .parked(let waker) = places[ticket.place].status {
            vacate(ticket.place)
            wakeups.add(waker, outcome)
        } else {
            places[ticket.place].status = .settled(outcome)
        }
    }

    /// Moves the first of a line to the end of another.
    mutating func moveFirst(of line: inout WaitLine, to other: inout WaitLine, tag: Int) {
        guard line.first >= 0 else { return }
        let index = line.first
        unlink(index, from: &line)
        places[index].tag = tag
        append(index, to: &other)
    }

    private func isCurrent(_ ticket: Ticket) -> Bool {
        places.indices.contains(ticket.place) && places[ticket.place].serial == ticket.serial
    }

    private mutating func append(_ index: Int, to line: inout WaitLine) {
        places[index].previous = line.last
        places[index].next = -1
        if line.last >= 0 { places[line.last].next = index } else { line.first = index }
        line.last = index
        line.count += 1
    }

    private mutating func unlink(_ index: Int, from line: inout WaitLine) {
        let (previous, next) = (places[index].previous, places[index].next)
        if previous >= 0 { places[previous].next = next } else { line.first = next }
        if next >= 0 { places[next].previous = previous } else { line.last = previous }
        line.count -= 1
    }

    private mutating func vacate(_ index: Int) {
        places[index] = Place(serial: 0, next: firstVacant, tag: 0, status: .vacant)
        firstVacant = index
    }
}

/// Waiters whose wait has ended, to be told once the lock is released.
struct Wakeups: Sendable {
    private var first: (waker: Waker, outcome: WaitOutcome)?
    private var others: [(waker: Waker, outcome: WaitOutcome)] = []

    fileprivate mutating func add(_ waker: @escaping Waker, _ outcome: WaitOutcome) {
        if first == nil { first = (waker, outcome) } else { others.append((waker, outcome)) }
    }

    /// Tells them, in the order in which their waits ended.
    func run() {
        if let first { first.waker(first.outcome) }
        for other in others { other.waker(other.outcome) }
    }
}
