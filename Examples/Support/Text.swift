// SPDX-License-Identifier: Apache-2.0

extension String {
    /// Fills the text up with spaces.
    ///
    /// - Parameter width: How long it is to be; filled up behind if positive, before if negative.
    /// - Returns: The text.
    public func padded(_ width: Int) -> String {
        let spaces = String(repeating: " ", count: max(0, abs(width) - count))
        return width < 0 ? spaces + self : self + spaces
    }
}

extension BinaryInteger {
    /// The number with a comma between thousands.
    public var grouped: String {
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
    /// The part of a whole in percent, rounded down so that what is not all is never called all.
    public var percent: String {
        let tenths = Int((self * 1000).rounded(.down))
        return tenths == 1000 ? "100 %" : "\(tenths / 10).\(tenths % 10) %"
    }
}
