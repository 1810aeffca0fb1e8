// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Given once; from then on nobody waits for it.
final class StopSignal: Sendable {
    private struct State: Sendable {
        var isGiven = false
        var waiters = WaiterList()
    }

    private let monitor = Monitor(State())

    func give() {
        monitor.withLock { state in
            state.isGiven = true
            return state.waiters.wakeAll()
        }.resume()
    }

    func wait() async throws {
        try await monitor.wait(in: \.waiters) { state in state.isGiven ? () : nil }
    }
}
