// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Looks for the smallest run that fails as a given one did: fewer faults, less to do, a plainer order.
///
/// Faults are left out by delta debugging (Zeller and Hildebrandt, *Simplifying and isolating failure-inducing input*, 2002).
struct Shrinker {
    private let day: GameDay
    private let deadline: MonotonicInstant
    private let time = SystemTime()
    private var runs = 0
    private var best: GameDayOutcome?
    private var kind: String?

    init(day: GameDay, deadline: MonotonicInstant) {
        self.day = day
        self.deadline = deadline
    }

    private var isOver: Bool { time.monotonic() >= deadline || Task.isCancelled }

    mutating func shrink(_ first: GameDayOutcome) async -> GameDayFailure? {
        guard let error = first.error else { return nil }
        best = first
        kind = first.failureKind
        var current = first
        // The same run with its faults named, which is what the others are made from.
        current =
            await without(in: first) { replay in
                replay.faults = Set(first.faults)
                replay.picks = first.picks.mapValues(\.value)
            } ?? first
        current = await without(in: current) { $0.isFirstComeFirstServed = true } ?? current
        if !current.faults.isEmpty { current = await without(in: current) { $0.faults = [] } ?? current }
        var last = Int.max
        // Less to do makes faults superfluous, and fewer faults may let less be enough.
        while current.size < last, !isOver {
            last = current.size
            current = await withLess(current)
            current = await withFewerFaults(current)
            current = await withEarlierFaults(current)
        }
        let smallest = best ?? current
        return GameDayFailure(
            smallest, smallest.error ?? error, day: day.name, firstSeed: first.replay.seed, runs: runs + 1)
    }

    /// Runs once more with a change.
    ///
    /// - Returns: How it went, if it failed in the same way.
    private mutating func without(
        in outcome: GameDayOutcome, _ change: (inout Replay) -> Void
    ) async -> GameDayOutcome? {
        guard !isOver else { return nil }
        var replay = outcome.replay
        change(&replay)
        runs += 1
        let next = await day.run(replay)
        guard next.failureKind == kind else { return nil }
        // Only those that happened are worth naming.
        var named = next.replay
        named.faults = Set(next.faults)
        let found = GameDayOutcome(
            replay: named, error: next.error, faults: next.faults, picks: next.picks, trace: next.trace, jobs: next.jobs
        )
        if let best, found.size > best.size || (found.size == best.size && found.trace.count >= best.trace.count) {
            // No smaller, so it is no better to tell.
            return found.size <= outcome.size ? found : nil
        }
        best = found
        return found
    }

    /// Tries with less of what was picked.
    private mutating func withLess(_ start: GameDayOutcome) async -> GameDayOutcome {
        var current = start
        for name in start.picks.keys.sorted() {
            while let pick = current.picks[name], pick.value > pick.least, !isOver {
                let halfway = pick.least + (pick.value - pick.least) / 2
                var smaller: GameDayOutcome?
                for value in Set([pick.least, halfway, pick.value - 1]).sorted() where smaller == nil {
                    smaller = await without(in: current) { $0.picks[name] = value }
                }
                guard let smaller else { break }
                current = smaller
            }
        }
        return current
    }

    /// Has faults happen at earlier opportunities, so that less need be done before them.
    private mutating func withEarlierFaults(_ start: GameDayOutcome) async -> GameDayOutcome {
        var current = start
        for fault in start.faults where fault.number > 1 {
            var smaller: GameDayOutcome?
            for number in Set([1, fault.number / 2, fault.number - 1]).sorted() where smaller == nil && number > 0 {
                smaller = await without(in: current) { replay in
                    replay.faults?.remove(fault)
                    replay.faults?.insert(Fault(kind: fault.kind, place: fault.place, number: number))
                }
            }
            if let smaller { current = smaller }
        }
        return current
    }

    /// Leaves faults out, half of them first, then ever smaller parts.
    private mutating func withFewerFaults(_ start: GameDayOutcome) async -> GameDayOutcome {
        var current = start
        var parts = 2
        while !current.faults.isEmpty, !isOver {
            let faults = current.faults
            parts = min(parts, faults.count)
            let length = (faults.count + parts - 1) / parts
            var smaller: GameDayOutcome?
            for begin in stride(from: 0, to: faults.count, by: length) where smaller == nil {
                let rest = Set(faults[..<begin] + faults[min(begin + length, faults.count)...])
                smaller = await without(in: current) { $0.faults = rest }
            }
            if let smaller, smaller.faults.count < faults.count {
                current = smaller
                parts = max(2, parts - 1)
            } else if length == 1 {
                break
            } else {
                parts *= 2
            }
        }
        return current
    }
}

extension GameDayOutcome {
    /// How much there is to understand.
    fileprivate var size: Int {
        faults.reduce(0) { $0 + 100_000 + min($1.number, 100) }
            + picks.values.reduce(0) { $0 + 1000 * max(0, $1.value - $1.least) }
            + (replay.isFirstComeFirstServed ? 0 : 1)
    }
}
