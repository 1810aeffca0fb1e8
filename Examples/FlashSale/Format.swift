// SPDX-License-Identifier: Apache-2.0

import Dovetail

extension String {
    /// Filled up with spaces: behind for a positive width, before for a negative one.
    func padded(_ width: Int) -> String {
        let spaces = String(repeating: " ", count: max(0, abs(width) - count))
        return width < 0 ? spaces + self : self + spaces
    }
}

extension Int {
    /// The number with a comma between thousands.
    var grouped: String {
        let digits = Array(String(magnitude))
        var text = self < 0 ? "-" : ""
        for (index, digit) in digits.enumerated() {
            if index > 0, (digits.count - index) % 3 == 0 { text += "," }
            text.append(digit)
        }
        return text
    }
}

extension Double {
    var twoDigits: String { "\((self * 100).rounded() / 100)" }
    var fourDigits: String { "\((self * 10_000).rounded() / 10_000)" }

    /// Rounded down, so that what is not all is never called all.
    var percent: String {
        let tenths = Int((self * 1000).rounded(.down))
        return tenths == 1000 ? "100 %" : "\(tenths / 10).\(tenths % 10) %"
    }
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
