// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// What happens in the month, all of it decided by the seed.
struct Plan: Sendable {
    static let days = 30
    /// When everybody watches.
    static let evening: Range<Duration> = .seconds(20 * 3600)..<(.seconds(20 * 3600 + 1800))
    /// Pages a second in the evening, and otherwise.
    static let eveningRate = 2.0
    static let quietRate = 1.0 / 60
    /// When trouble begins, a popular show begins, too.
    static let rush = 20.0
    static let rushLength: Duration = .seconds(10)

    /// How long a call may take, and how many may be under way at once.
    static let limit: Duration = .seconds(2)
    static let most = 20

    struct Trouble: Sendable {
        enum Kind: String, Sendable { case slow, failing }

        let day: Int
        let kind: Kind
        let span: Range<Duration>
    }

    let troubles: [Trouble]
    private let random: SeededRandom

    init(seed: UInt64) {
        let random = SeededRandom(seed: seed)
        self.random = random
        var days = Array(1...Self.days)
        troubles = (0..<8).map { number in
            let day = days.remove(at: Int(random.next() % UInt64(days.count)))
            let start = Self.start(of: day) + Self.evening.lowerBound + .seconds(60 + Int(random.next() % 240))
            let length = Duration.seconds(300 + Int(random.next() % 600))
            return Trouble(day: day, kind: number % 2 == 0 ? .slow : .failing, span: start..<(start + length))
        }
        .sorted { $0.span.lowerBound < $1.span.lowerBound }
    }

    static func start(of day: Int) -> Duration { .seconds((day - 1) * 86_400) }

    static func day(of instant: Duration) -> Int { Int(instant.components.seconds / 86_400) + 1 }

    /// The time of day.
    static func clock(_ instant: Duration) -> Duration { instant - start(of: day(of: instant)) }

    func trouble(at instant: Duration) -> Trouble? {
        troubles.first { $0.span.contains(instant) }
    }

    /// When the viewer after one comes; `nil` if the month is over first.
    func viewer(after instant: Duration) -> Duration? {
        // Drawn anew where the rate changes.
        var instant = instant
        while true {
            let rate = rate(at: instant)
            let next = instant + .nanoseconds(Int64(random.unit() * 2e9 / rate))
            let change = nextChange(after: instant)
            guard next > change else { return next < Self.start(of: Self.days + 1) ? next : nil }
            instant = change
            if instant >= Self.start(of: Self.days + 1) { return nil }
        }
    }

    private func rate(at instant: Duration) -> Double {
        if let trouble = trouble(at: instant), instant < trouble.span.lowerBound + Self.rushLength { return Self.rush }
        return Self.evening.contains(Self.clock(instant)) ? Self.eveningRate : Self.quietRate
    }

    /// The next instant at which the rate changes.
    private func nextChange(after instant: Duration) -> Duration {
        let day = Self.start(of: Self.day(of: instant))
        var changes = [day + Self.evening.lowerBound, day + Self.evening.upperBound, day + .seconds(86_400)]
        if let trouble = troubles.first(where: { $0.day == Self.day(of: instant) }) {
            changes += [trouble.span.lowerBound, trouble.span.lowerBound + Self.rushLength]
        }
        return changes.filter { $0 > instant }.min() ?? day + .seconds(86_400)
    }
}
