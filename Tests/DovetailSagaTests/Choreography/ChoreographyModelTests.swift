// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailSaga
import Testing

/// Compares the check of flows with a plain enumeration of everything that can happen in them, on flows made by chance.
@Suite
struct ChoreographyModelTests {
    private static let events: [any Message.Type] = [
        OrderPlaced.self, PaymentSucceeded.self, PaymentFailed.self, StockReserved.self, StockRejected.self,
        PaymentRefunded.self, OrderExpired.self,
    ]

    private struct Move {
        enum Kind: CaseIterable { case success, failure, end }

        var participant: String
        var inputs: [Int]
        var isDeadline = false
        var undoes: [Int] = []
        var outcomes: [(kind: Kind, event: Int?, end: String)] = []

        var hop: Hop {
            let types = ChoreographyModelTests.events
            var hop =
                if inputs.isEmpty {
                    Hop(participant)
                } else if isDeadline {
                    Hop(participant, deadline: "late", after: types[inputs[0]])
                } else if inputs.count == 1 {
                    Hop(participant, on: types[inputs[0]])
                } else {
                    Hop(participant, on: types[inputs[0]], types[inputs[1]])
                }
            for event in undoes { hop = hop.undoes(types[event]) }
            for outcome in outcomes {
                switch (outcome.kind, outcome.event) {
                case (.success, let event?): hop = hop.emits(types[event])
                case (.failure, let event?): hop = hop.fails(types[event])
                case (_, _): hop = hop.ends(outcome.end)
                }
            }
            return hop
        }
    }

    /// Makes moves by chance; an event is only emitted by who reads earlier ones, so that nothing goes round.
    private func moves(_ random: SeededRandom) -> [Move] {
        var moves = [Move(participant: "a", inputs: [], outcomes: [(.success, 0, "")])]
        var doers: [Int: String] = [0: "a"]
        for event in 0..<Self.events.count where doers[event] != nil {
            for participant in ["a", "b", "c"] where random.chance(0.5) || participant == "c" && moves.count < 2 {
                var move = Move(participant: participant, inputs: [event])
                if random.chance(0.15), event > 0 { move.inputs.append(Int(random.unit() * Double(event))) }
                move.isDeadline = move.inputs.count == 1 && random.chance(0.1)
                for other in 0...event where doers[other] == participant && random.chance(0.5) {
                    move.undoes.append(other)
                }
                for _ in 0..<(random.chance(0.5) ? 2 : 1) {
                    let next = event + 1 + Int(random.unit() * 3)
                    if next < Self.events.count, random.chance(0.6), doers[next] == nil || doers[next] == participant {
                        doers[next] = participant
                        move.outcomes.append((random.chance(0.4) ? .failure : .success, next, ""))
                    } else {
                        move.outcomes.append((.end, nil, random.chance(0.8) ? "done" : "over"))
                    }
                }
                moves.append(move)
            }
        }
        return moves
    }

    private struct Verdict: OptionSet, Hashable {
        let rawValue: Int
        static let stops = Verdict(rawValue: 1)
        static let uncompensated = Verdict(rawValue: 2)
        static let conflicting = Verdict(rawValue: 4)
    }

    private struct State: Hashable {
        var emitted: Set<Int> = []
        var moved: Set<Int> = []
        var effects: Set<Int> = []
        var undone: Set<Int> = []
        var ends: Set<String> = []
        var hasFailed = false
    }

    /// Plays every order of moves with every outcome, and says what is wrong with where that ends.
    private func play(_ moves: [Move]) -> Verdict {
        var verdict: Verdict = []
        var seen: Set<State> = []
        var open: [State] = []
        func add(_ state: State) { if seen.insert(state).inserted { open.append(state) } }
        func apply(_ outcome: (kind: Move.Kind, event: Int?, end: String)?, of index: Int, to state: State) -> State {
            let move = moves[index]
            var state = state
            state.moved.insert(index)
            guard let outcome else { return state }
            state.undone.formUnion(move.undoes)
            if let event = outcome.event { state.emitted.insert(event) }
            switch outcome.kind {
            case .success: if move.undoes.isEmpty, let event = outcome.event { state.effects.insert(event) }
            case .failure: state.hasFailed = true
            case .end: state.ends.insert("\(move.participant) \(outcome.end)")
            }
            return state
        }
        add(apply(moves[0].outcomes[0], of: 0, to: State()))
        while let state = open.popLast() {
            let ready = moves.indices.filter {
                !state.moved.contains($0) && !moves[$0].inputs.isEmpty
                    && moves[$0].inputs.allSatisfy(state.emitted.contains)
            }
            for index in ready {
                if moves[index].isDeadline { add(apply(nil, of: index, to: state)) }
                for outcome in moves[index].outcomes { add(apply(outcome, of: index, to: state)) }
            }
            guard ready.isEmpty else { continue }
            if state.ends.isEmpty { verdict.insert(.stops) }
            if state.hasFailed, !state.effects.isSubset(of: state.undone) { verdict.insert(.uncompensated) }
            let differing = state.ends.contains { one in
                state.ends.contains { other in one.first != other.first && one.dropFirst() != other.dropFirst() }
            }
            if differing { verdict.insert(.conflicting) }
        }
        return verdict
    }

    @Test func theCheckFindsWhatCanGoWrongAndNothingElse() {
        var (sound, unsound) = (0, 0)
        for seed in 0..<600 {
            let moves = moves(SeededRandom(seed: UInt64(seed)))
            let flow = Choreography("chance") { for move in moves { move.hop } }
            let problems = Set(flow.problems().map(\.kind))
            // What is wrong at one hop or one event is another matter, and hides what follows from it.
            guard problems.isSubset(of: [.deadEnd, .uncompensated, .conflictingEnds]) else { continue }
            let verdict = play(moves)
            #expect(problems.contains(.deadEnd) == verdict.contains(.stops), "seed \(seed): \(flow.hops)")
            #expect(problems.contains(.uncompensated) == verdict.contains(.uncompensated), "seed \(seed): \(flow.hops)")
            #expect(problems.contains(.conflictingEnds) == verdict.contains(.conflicting), "seed \(seed): \(flow.hops)")
            if verdict.isEmpty { sound += 1 } else { unsound += 1 }
        }
        // The comparison is worth something only if there are enough of both.
        #expect(sound > 10 && unsound > 50, "\(sound) sound, \(unsound) not")
    }
}
