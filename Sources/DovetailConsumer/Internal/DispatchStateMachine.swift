// SPDX-License-Identifier: Apache-2.0

/// Decides what may be handled next: items of one lane in the order they came and one at a time, lanes beside each other.
///
/// A pure value; it knows nothing of tasks. The number of items in hand is bounded by ``room``.
struct DispatchStateMachine<Lane: Hashable & Sendable, Item: Sendable>: Sendable {
    /// An item that is being handled, until `finish` or `putBack` is called with it.
    struct Ticket: Sendable {
        let lane: Lane?
        let item: Item
        /// Whether an earlier item of the lane was moved away since this one came, so that it may have to follow.
        let isDiverted: Bool
    }

    private struct LaneState: Sendable {
        var queue = FIFO<Item>()
        var isDiverted = false
    }

    private enum Turn: Sendable {
        case item(Item)
        case lane(Lane)
    }

    let prefetch: Int
    /// Items that wait or are being handled.
    private(set) var inHand = 0
    /// Lanes with an item that waits or is being handled.
    private var lanes: [Lane: LaneState] = [:]
    private var ready = FIFO<Turn>()

    init(prefetch: Int) {
        self.prefetch = max(1, prefetch)
    }

    /// How many more items it has room for.
    var room: Int { max(0, prefetch - inHand) }

    /// How many items could be handled now.
    var readyCount: Int { ready.count }

    /// Takes an item; one without a lane waits for no other.
    mutating func enqueue(_ item: Item, lane: Lane?) {
        inHand += 1
        guard let lane else {
            ready.append(.item(item))
            return
        }
        if lanes[lane] == nil {
            lanes[lane] = LaneState()
            ready.append(.lane(lane))
        }
        lanes[lane]?.queue.append(item)
    }

    /// The next item whose turn it is.
    mutating func start() -> Ticket? {
        while let turn = ready.popFirst() {
            switch turn {
            case .item(let item):
                return Ticket(lane: nil, item: item, isDiverted: false)
            case .lane(let lane):
                guard let item = lanes[lane]?.queue.popFirst() else {
                    lanes[lane] = nil
                    continue
                }
                return Ticket(lane: lane, item: item, isDiverted: lanes[lane]?.isDiverted ?? false)
            }
        }
        return nil
    }

    /// The items that wait behind one that is being handled; they are taken out of the lane, which stays busy.
    mutating func takeFollowers(of ticket: Ticket) -> [Item] {
        guard let lane = ticket.lane, let followers = lanes[lane]?.queue.removeAll() else { return [] }
        inHand -= followers.count
        return followers
    }

    /// Puts followers back that were taken out of a lane, before those that came since.
    mutating func putBackFollowers(_ followers: [Item], of ticket: Ticket) {
        guard let lane = ticket.lane, lanes[lane] != nil else { return }
        for item in followers.reversed() { lanes[lane]?.queue.prepend(item) }
        inHand += followers.count
    }

    /// Whether an item of a lane waits or is being handled, so that a new one goes behind it.
    func isInHand(_ lane: Lane) -> Bool { lanes[lane] != nil }

    /// Ends the turn of an item and lets the next one of its lane have its turn.
    ///
    /// - Parameters:
    ///   - ticket: The item.
    ///   - divert: Whether the item was moved to where its followers have to follow; they are told so by their ticket.
    mutating func finish(_ ticket: Ticket, divert: Bool = false) {
        inHand -= 1
        guard let lane = ticket.lane, let state = lanes[lane] else { return }
        if state.queue.isEmpty {
            lanes[lane] = nil
        } else {
            lanes[lane]?.isDiverted = divert
            ready.append(.lane(lane))
        }
    }

    /// Takes out what nobody handles and what waits for nothing that is being handled, in order within each lane.
    mutating func takeReady() -> [Item] {
        var items: [Item] = []
        while let turn = ready.popFirst() {
            switch turn {
            case .item(let item): items.append(item)
            case .lane(let lane):
                items += lanes[lane]?.queue.removeAll() ?? []
                lanes[lane] = nil
            }
        }
        inHand -= items.count
        return items
    }

    /// Takes out all that nobody handles, in order within each lane.
    mutating func takeAll() -> [Item] {
        var items = takeReady()
        for lane in Array(lanes.keys) {
            let waiting = lanes[lane]?.queue.removeAll() ?? []
            inHand -= waiting.count
            items += waiting
        }
        return items
    }

    /// Ends the turn of an item that is to have another one, before all others of its lane.
    mutating func putBack(_ ticket: Ticket, as item: Item) {
        guard let lane = ticket.lane else {
            ready.append(.item(item))
            return
        }
        lanes[lane]?.queue.prepend(item)
        ready.append(.lane(lane))
    }
}
