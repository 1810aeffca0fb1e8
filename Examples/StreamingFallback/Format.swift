// SPDX-License-Identifier: Apache-2.0

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
        var (rest, parts) = (self, [String]())
        while rest >= 1000 {
            parts.insert(String("\(1000 + rest % 1000)".dropFirst()), at: 0)
            rest /= 1000
        }
        return (["\(rest)"] + parts).joined(separator: ",")
    }
}

extension Double {
    /// Rounded down, so that what is not all is never called all.
    var percent: String {
        let tenths = Int((self * 1000).rounded(.down))
        return tenths == 1000 ? "100 %" : "\(tenths / 10).\(tenths % 10) %"
    }
}

extension Duration {
    /// Hours and minutes.
    var timeOfDay: String {
        let minutes = components.seconds / 60
        return "\(minutes / 60):\(minutes % 60 < 10 ? "0" : "")\(minutes % 60)"
    }
}
