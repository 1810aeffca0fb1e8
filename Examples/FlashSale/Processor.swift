// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// A payment processor, which at times does not answer.
struct Processor: Sendable {
    struct GaveUp: Error {}

    let name: String
    let time: any TimeSource
    let opened: MonotonicInstant
    let outage: Range<Duration>
    let books: Books

    func charge(_ order: Order) async throws {
        if outage.contains(time.monotonic() - opened) {
            books.noteUnanswered(at: time.monotonic() - opened)
            try await time.sleep(until: opened + outage.upperBound)
            throw GaveUp()
        }
        try await time.sleep(for: .milliseconds(order.milliseconds))
    }
}

extension Duration {
    static func milliseconds(_ count: Double) -> Duration { .nanoseconds(Int64(count * 1e6)) }
}
