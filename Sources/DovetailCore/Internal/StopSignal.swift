// SPDX-License-Identifier: Apache-2.0

/// Given once; from then on nobody waits for it.
package final class StopSignal: Sendable {
    private struct State: Sendable {
        var isGiven = false
        var waiters = WaiterList()
    }

    private let monitor = Monitor(State())

    package init() {}

    package func give() {
        monitor.withLock { state in
            state.isGiven = true
            return state.waiters.wakeAll()
        }.resume()
    }

    package func wait() async throws {
        try await monitor.wait(in: \.waiters) { state in state.isGiven ? () : nil }
    }
}
