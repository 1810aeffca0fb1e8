// SPDX-License-Identifier: Apache-2.0

/// The accounts of a keyed bulkhead: pure decisions, kept behind one lock.
///
/// A caller needs a place of its key and a permit of the total. It takes the place first; when the total is used up it
/// waits for it *in its place*, behind those of other keys that came before. So a key never has more callers in the line for the
/// total than its own limit, however many of them come: its others wait in the line of the key.
///
/// Both are taken in one step or not at all, so neither limit is ever exceeded, and nobody is turned away because of someone
/// who is about to be turned away too. A key is here only while a caller of it has a place or waits.
struct KeyedLedger<Key: Hashable & Sendable>: Sendable {
    private struct Room: Sendable {
        let key: Key
        /// The places that are taken: calls under way, and callers that wait for the total.
        var taken = 0
        /// Those of them that wait for the total.
        var waitingInPlace = 0
        /// Those who wait for a place.
        var line = WaitLine()
    }

    private(set) var settings: KeyedBulkhead<Key>.Settings

    /// How many permits are out, of all keys together.
    private(set) var inUse = 0

    private var pool = WaiterPool()
    /// Those who have their place and wait for the total.
    private var totalLine = WaitLine()
    private var rooms: ContiguousArray<Room?> = []
    private var vacantRooms: ContiguousArray<Int> = []
    private var indices: [Key: Int] = [:]
    private(set) var waiting = 0

    init(_ settings: KeyedBulkhead<Key>.Settings) {
        self.settings = settings
    }

    /// How many keys are here.
    var keys: Int { indices.count }

    /// How many keys there is room for without growing.
    var capacity: Int { rooms.count }

    /// The key of a room.
    func key(ofRoom index: Int) -> Key? { rooms[index]?.key }

    enum Admission: Sendable {
        case taken(room: Int)
        case queued(Ticket, room: Int, longestWait: Duration?)
        case refused(BulkheadError.Code)
    }

    /// Takes a permit of a key, or a place in one of the lines.
    mutating func takeOrQueue(_ key: Key, mayWait: Bool) -> Admission {
        let found = indices[key]
        let room = found.flatMap { rooms[$0] } ?? Room(key: key)
        let hasPlace = room.line.isEmpty && room.taken < settings.limit
        if hasPlace, totalLine.isEmpty, inUse < settings.total {
            let index = found ?? add(room)
            rooms[index]?.taken += 1
            inUse += 1
            return .taken(room: index)
        }
        guard mayWait, settings.mayWait else { return .refused(hasPlace ? .totalFull : .full) }
        guard room.line.count + room.waitingInPlace < settings.queue, waiting < settings.totalQueue else {
            return .refused(.queueFull)
        }
        let index = found ?? add(room)
        waiting += 1
        if hasPlace {
            rooms[index]?.taken += 1
            rooms[index]?.waitingInPlace += 1
            return .queued(
                pool.queue(in: &totalLine, tag: Self.inPlace(index)), room: index, longestWait: settings.longestWait)
        }
        var line = rooms[index]?.line ?? WaitLine()
        let ticket = pool.queue(in: &line, tag: index)
        rooms[index]?.line = line
        return .queued(ticket, room: index, longestWait: settings.longestWait)
    }

    /// Gives a waiter what wakes it.
    mutating func park(_ ticket: Ticket, _ waker: @escaping Waker) -> WaitOutcome? {
        pool.park(ticket, waker)
    }

    /// Ends a wait by the clock or by cancellation, unless it has ended.
    mutating func settle(_ ticket: Ticket, _ outcome: WaitOutcome, _ wakeups: inout Wakeups) {
        guard pool.isWaiting(ticket) else { return }
        let tag = pool.tag(of: ticket)
        waiting -= 1
        if tag >= 0 {
            settleInLine(of: tag, ticket, outcome, &wakeups)
            removeIfIdle(tag)
        } else {
            pool.settle(ticket, in: &totalLine, outcome, &wakeups)
            let index = Self.room(inPlace: tag)
            rooms[index]?.waitingInPlace -= 1
            leavePlace(of: index)
            removeIfIdle(index)
        }
    }

    /// Takes a permit back: the next of its key gets the place, the next of all keys the permit.
    mutating func give(room index: Int, _ wakeups: inout Wakeups) {
        inUse -= 1
        leavePlace(of: index)
        serve(&wakeups)
        removeIfIdle(index)
    }

    /// Changes what is allowed.
    mutating func apply(_ new: KeyedBulkhead<Key>.Settings, _ wakeups: inout Wakeups) {
        let isSmaller = new.limit < settings.limit
        settings = new
        if isSmaller { takePlacesBack() }
        fillPlaces()
        // With no permit ever to come, who waits would wait for nothing.
        if new.limit == 0 || new.total == 0 { turnEverybodyAway(&wakeups) }
        serve(&wakeups)
    }

    private mutating func turnEverybodyAway(_ wakeups: inout Wakeups) {
        while let ticket = pool.first(in: totalLine) { settle(ticket, .turnedAway, &wakeups) }
        for index in rooms.indices {
            while let line = rooms[index]?.line, let ticket = pool.first(in: line) {
                settle(ticket, .turnedAway, &wakeups)
            }
        }
    }

    /// Has those who wait in places that a smaller limit took away wait for a place again, before all others of their key.
    private mutating func takePlacesBack() {
        var (old, returned) = (totalLine, [Int: WaitLine]())
        totalLine = WaitLine()
        for index in rooms.indices {
            guard let inPlace = rooms[index]?.waitingInPlace else { continue }
            rooms[index]?.taken -= inPlace
            rooms[index]?.waitingInPlace = 0
        }
        while let ticket = pool.first(in: old) {
            let index = Self.room(inPlace: pool.tag(of: ticket))
            if let taken = rooms[index]?.taken, taken < settings.limit {
                rooms[index]?.taken += 1
                rooms[index]?.waitingInPlace += 1
                pool.moveFirst(of: &old, to: &totalLine, tag: Self.inPlace(index))
            } else {
                pool.moveFirst(of: &old, to: &returned[index, default: WaitLine()], tag: index)
            }
        }
        for index in returned.keys.sorted() {
            guard var line = returned[index], var others = rooms[index]?.line else { continue }
            while !others.isEmpty { pool.moveFirst(of: &others, to: &line, tag: index) }
            rooms[index]?.line = line
        }
    }

    /// How many permits of a key are out, and how many callers of it wait.
    func figures(of key: Key) -> (inUse: Int, waiting: Int) {
        guard let index = indices[key], let room = rooms[index] else { return (0, 0) }
        return (room.taken - room.waitingInPlace, room.waitingInPlace + room.line.count)
    }

    // MARK: Places

    /// Hands the total's free permits to those who wait for them in their places.
    private mutating func serve(_ wakeups: inout Wakeups) {
        while inUse < settings.total, let ticket = pool.first(in: totalLine) {
            rooms[Self.room(inPlace: pool.tag(of: ticket))]?.waitingInPlace -= 1
            pool.settle(ticket, in: &totalLine, .granted, &wakeups)
            waiting -= 1
            inUse += 1
        }
    }

    private mutating func leavePlace(of index: Int) {
        rooms[index]?.taken -= 1
        fillPlaces(of: index)
    }

    /// Fills the places of all keys, in the order in which those who wait for them came.
    private mutating func fillPlaces() {
        var next: [(ticket: Ticket, room: Int)] = []
        for (index, room) in rooms.enumerated() {
            guard let room, room.taken < settings.limit else { continue }
            next += pool.tickets(in: room.line, atMost: settings.limit - room.taken).map { ($0, index) }
        }
        for (_, index) in next.sorted(by: { $0.ticket.isBefore($1.ticket) }) { fillPlaces(of: index, atMost: 1) }
    }

    /// Moves those who wait for a place of their key to the line for the total, as far as there are places.
    private mutating func fillPlaces(of index: Int, atMost count: Int = .max) {
        guard var room = rooms[index], !room.line.isEmpty else { return }
        let most = room.taken + min(count, settings.limit - room.taken)
        while room.taken < most, !room.line.isEmpty {
            pool.moveFirst(of: &room.line, to: &totalLine, tag: Self.inPlace(index))
            room.taken += 1
            room.waitingInPlace += 1
        }
        rooms[index] = room
    }

    private mutating func settleInLine(
        of index: Int, _ ticket: Ticket, _ outcome: WaitOutcome, _ wakeups: inout Wakeups
    ) {
        guard var line = rooms[index]?.line else { return }
        pool.settle(ticket, in: &line, outcome, &wakeups)
        rooms[index]?.line = line
    }

    /// A waiter's tag is its room, or, once it has a place there and waits for the total, the room's complement.
    private static func inPlace(_ room: Int) -> Int { ~room }
    private static func room(inPlace tag: Int) -> Int { ~tag }

    // MARK: Rooms

    private mutating func add(_ room: Room) -> Int {
        let index: Int
        if let vacant = vacantRooms.popLast() {
            index = vacant
            rooms[index] = room
        } else {
            index = rooms.count
            rooms.append(room)
        }
        indices[room.key] = index
        return index
    }

    /// A key that nobody has a place of equals a new one.
    private mutating func removeIfIdle(_ index: Int) {
        guard let room = rooms[index], room.taken == 0, room.line.isEmpty else { return }
        indices[room.key] = nil
        rooms[index] = nil
        vacantRooms.append(index)
    }
}
