// SPDX-License-Identifier: Apache-2.0

import CFloors

/// How long something took.
public struct Timing: Sendable {
    /// By the clock.
    public let elapsed: Duration

    /// The time the process was given by its processors meanwhile; what else the machine did is not in it.
    public let processor: Duration

    @concurrent
    static func of(_ body: Workload.Body) async throws -> Timing {
        let clock = ContinuousClock()
        let (start, processorStart) = (clock.now, floor_processor_nanoseconds())
        try await body()
        return Timing(
            elapsed: clock.now - start, processor: .nanoseconds(floor_processor_nanoseconds() - processorStart)
        )
    }
}
