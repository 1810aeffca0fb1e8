// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport

extension Double {
    var twoDigits: String { "\((self * 100).rounded() / 100)" }
    var fourDigits: String { "\((self * 10_000).rounded() / 10_000)" }
}

extension Duration {
    /// Whole milliseconds.
    var ms: String { "\(nanoseconds / 1_000_000) ms" }

    /// Minutes and seconds.
    var clock: String {
        let seconds = components.seconds
        return "\(seconds / 60):\(seconds % 60 < 10 ? "0" : "")\(seconds % 60)".padded(-5)
    }

    /// A column that is a block high for each doubling from 50 milliseconds on.
    var bar: String {
        let blocks = Array("▁▂▃▄▅▆▇█")
        var (height, limit) = (0, Duration.milliseconds(100))
        while self > limit, height < blocks.count - 1 {
            height += 1
            limit = limit * 3 / 2
        }
        return String(blocks[height])
    }
}
