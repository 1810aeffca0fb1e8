// SPDX-License-Identifier: Apache-2.0

/// The accounts of a bulkhead, as far as they are kept under its lock.
///
/// Most of the time the free permits are counted in an atomic word and not here (``BulkheadCore`` says how the two take turns).
/// They are counted here while somebody waits, or while more permits are out than the limit allows.
struct BulkheadLedger: Sendable {
    private(set) var settings: Bulkhead.Settings

    /// The permits that are free, negative while too many are out; `nil` while the word counts them.
    private(set) var free: Int?

    /// Nobody can ask for a permit any more, and some are still out.
    private(set) var isAbandoned = false

    private var pool = WaiterPool()
    private var line = WaitLine()

    init(_ settings: Bulkhead.Settings) {
        self.settings = settings
    }

    /// How many wait.
    var waiting: Int { line.count }

    /// Why a caller that finds no free permit may not wait either; `nil` if it may.
    var refusal: BulkheadError.Code? {
        guard settings.mayWait else { return .full }
        return line.count < settings.queue ? nil : .queueFull
    }

    /// Takes over the counting from the word.
    mutating func open(free: Int) {
        self.free = free
    }

    /// Gives the counting back to the word, once nobody waits and not too many permits are out.
    ///
    /// - Returns: What the word counts from now on; `nil` if the counting stays here, or is not here.
    mutating func close() -> Int? {
        guard let free, free >= 0, line.isEmpty, !isAbandoned else { return nil }
        self.free = nil
        return free
    }

    /// Lets a caller wait.
    mutating func queue() -> Ticket {
        pool.queue(in: &line)
    }

    /// Gives a waiter what wakes it.
    mutating func park(_ ticket: Ticket, _ waker: @escaping Waker) -> WaitOutcome? {
        pool.park(ticket, waker)
    }

    /// Ends a wait, unless it has ended.
    mutating func settle(_ ticket: Ticket, _ outcome: WaitOutcome, _ wakeups: inout Wakeups) {
        pool.settle(ticket, in: &line, outcome, &wakeups)
    }

    /// Takes a permit back and hands it to the first who waits.
    mutating func give(_ wakeups: inout Wakeups) {
        free? += 1
        serve(&wakeups)
    }

    /// Changes what is allowed.
    ///
    /// - Returns: By how many permits the limit grew; negative if it shrank. The caller adds it to the word if that counts.
    mutating func apply(_ new: Bulkhead.Settings, _ wakeups: inout Wakeups) -> Int {
        let growth = new.limit - settings.limit
        settings = new
        free? += growth
        serve(&wakeups)
        // With no permit ever to come, who waits would wait for nothing.
        while new.limit == 0, let ticket = pool.first(in: line) {
            pool.settle(ticket, in: &line, .turnedAway, &wakeups)
        }
        return growth
    }

    /// Notes that nobody can ask for a permit any more.
    ///
    /// - Returns: Whether some are still out.
    mutating func abandon() -> Bool {
        isAbandoned = settings.limit - (free ?? 0) > 0
        return isAbandoned
    }

    /// Whether the last permit that was out has come back after nobody could ask for one any more.
    var isOver: Bool { isAbandoned && settings.limit == free }

    private mutating func serve(_ wakeups: inout Wakeups) {
        while let free, free > 0, let ticket = pool.first(in: line) {
            pool.settle(ticket, in: &line, .granted, &wakeups)
            self.free = free - 1
        }
    }
}
