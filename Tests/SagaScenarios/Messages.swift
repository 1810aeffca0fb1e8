// SPDX-License-Identifier: Apache-2.0

package import DovetailCore

/// What sagas wait for.
package struct Paid: Event {
    package static let type: MessageType = "test.paid"
    package let number: String
    package var cents: Int

    package init(number: String, cents: Int = 0) {
        self.number = number
        self.cents = cents
    }
}

/// What sagas publish.
package struct Shipped: Event {
    package static let type: MessageType = "test.shipped"
    package let number: Int

    package init(number: Int) {
        self.number = number
    }
}
