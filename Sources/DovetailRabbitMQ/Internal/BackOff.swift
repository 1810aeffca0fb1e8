// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// When to try to connect again.
///
/// The first attempt after a connection that worked is made at once. The waits then double, and each is drawn from its upper half,
/// so that not all programs come back at the same moment.
struct BackOff: Sendable {
    private static let least = Duration.milliseconds(100)
    private static let most = Duration.seconds(5)

    private var failures = 0
    private(set) var next: MonotonicInstant?

    mutating func succeeded() {
        failures = 0
        next = nil
    }

    mutating func failed(at now: MonotonicInstant, random: any RandomSource) {
        let ceiling = min(Self.most, Self.least * (1 << min(failures, 16)))
        failures += 1
        next = now + ceiling * (0.5 + random.unit() / 2)
    }

    func isDue(_ now: MonotonicInstant) -> Bool { next.map { $0 <= now } ?? true }
}
