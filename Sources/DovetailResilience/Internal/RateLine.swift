// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The line in front of a rate limiter: the first waits for an instant, the others wait to become the first.
///
/// A turn is taken when it has come and not before. Whoever leaves the line therefore leaves nothing behind that had to be given
/// back, and those behind only ever get their turn earlier than they were told on arrival.
struct RateLine: Sendable {
    enum Place: Sendable {
        case served
        case first
        case behind(WaiterList.ID)
        case refused(RateLimitError.Code, wait: Int64)
    }

    private var schedule: CellSchedule
    private var hasFirst = false
    /// Those behind the first.
    var others = WaiterList()

    init(schedule: CellSchedule) {
        self.schedule = schedule
    }

    /// Takes a turn if it is there and nobody stands in line.
    mutating func serve(at now: Int64) -> Bool {
        !hasFirst && schedule.take(at: now)
    }

    /// Takes a turn, or a place in the line if the wait is short enough.
    mutating func arrive(at now: Int64, longestWait: Int64, timeLeft: Int64?) -> Place {
        if serve(at: now) { return .served }
        let ahead = hasFirst ? 1 + Int64(others.count) : 0
        let wait = max(0, schedule.earliest(behind: ahead).saturatingSubtract(now))
        guard wait <= longestWait else { return .refused(.waitTooLong, wait: wait) }
        // At the deadline itself nothing would be left for the call.
        if let timeLeft, wait >= timeLeft { return .refused(.noTimeLeft, wait: wait) }
        guard hasFirst else {
            hasFirst = true
            return .first
        }
        return .behind(others.reserve())
    }

    /// Takes a turn for the first in line if it has come, and lets the next one move up.
    ///
    /// - Returns: When the turn comes, `nil` if it was taken; and who has become the first.
    mutating func serveFirst(at now: Int64) -> (turn: Int64?, next: Wakeup?) {
        guard schedule.take(at: now) else { return (schedule.earliest(behind: 0), nil) }
        return (nil, moveUp())
    }

    /// The first leaves the line.
    mutating func moveUp() -> Wakeup {
        let next = others.wakeFirst()
        hasFirst = next.count > 0
        return next
    }
}
