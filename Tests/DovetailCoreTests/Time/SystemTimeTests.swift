// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

struct SystemTimeTests {
    @Test("The last tick is never ahead of the clock, and hardly behind it")
    func ticksFollowTheClock() {
        let time = SystemTime()
        var last = time.lastTick()
        for _ in 0..<10_000 {
            let before = time.lastTick()
            let now = time.monotonic()
            let after = time.lastTick()
            #expect(last <= before && before <= now)
            // However long the thread was held up in between: twice the ten milliseconds that are promised.
            #expect(now - after <= .milliseconds(20))
            last = after
        }
    }
}
