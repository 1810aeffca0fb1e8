// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Synchronization

/// What titles a viewer may like; slow on some evenings, and failing on others.
final class RecommendationService: Sendable {
    struct Unavailable: Error {}

    struct Load: Sendable {
        var calls = 0
        var callsInTrouble = 0
        var atOnce = 0
        var mostAtOnce = 0
    }

    private let plan: Plan
    private let state = Mutex(Load())

    init(_ plan: Plan) {
        self.plan = plan
    }

    var load: Load { state.withLock { $0 } }

    func titles() async throws -> [String] {
        let (time, random) = (Runtime.current.time, Runtime.current.random)
        let trouble = plan.trouble(at: .nanoseconds(time.monotonic().nanoseconds))
        state.withLock { load in
            load.calls += 1
            if trouble != nil { load.callsInTrouble += 1 }
            load.atOnce += 1
            load.mostAtOnce = max(load.mostAtOnce, load.atOnce)
        }
        defer { state.withLock { $0.atOnce -= 1 } }
        try await time.sleep(for: .milliseconds(40 + Int(random.next() % 80)))
        switch trouble?.kind {
        case .slow: try await time.sleep(for: .seconds(20 + Int(random.next() % 20)))
        case .failing: if random.chance(0.8) { throw Unavailable() }
        case nil: break
        }
        return ["Just for you"]
    }
}
