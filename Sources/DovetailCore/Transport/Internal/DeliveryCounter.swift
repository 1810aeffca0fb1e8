// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// Numbers for the deliveries of all subscriptions of a transport.
package final class DeliveryCounter: Sendable {
    private let last = Atomic<UInt64>(0)

    package init() {}

    package func next() -> UInt64 { last.wrappingAdd(1, ordering: .relaxed).newValue }
}
