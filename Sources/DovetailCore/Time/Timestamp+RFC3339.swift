// SPDX-License-Identifier: Apache-2.0

extension Timestamp {
    /// Reads an instant from an RFC 3339 date and time.
    ///
    /// The whole grammar of [RFC 3339, section 5.6](https://www.rfc-editor.org/rfc/rfc3339#section-5.6) is accepted, and nothing else:
    /// an offset is required, `T` and `Z` may be lower case, the day must exist in its month. A fraction may have any number of
    /// digits; those past the ninth are dropped. A leap second (23:59:60 UTC) becomes the first second of the next day. The result is
    /// `nil` if the text does not follow the grammar or lies outside ``earliest`` to ``latest``.
    ///
    /// - Parameter text: The text to read, such as `2026-03-01T09:30:00.250+01:00`.
    public init?(rfc3339 text: String) {
        self.init(rfc3339Bytes: text.utf8)
    }

    /// Reads an instant from an RFC 3339 date and time, or `nil` by the rules for a `String`.
    ///
    /// - Parameter text: The text to read.
    public init?(rfc3339 text: some StringProtocol) {
        self.init(rfc3339Bytes: text.utf8)
    }

    /// Reads an instant from the UTF-8 bytes of an RFC 3339 date and time, or `nil` by the rules for a `String`.
    ///
    /// - Parameter bytes: The bytes to read.
    public init?(rfc3339Bytes bytes: some Collection<UInt8>) {
        let contiguous = bytes.withContiguousStorageIfAvailable { Timestamp(rfc3339Buffer: $0) }
        let parsed = contiguous ?? ContiguousArray(bytes).withUnsafeBufferPointer { Timestamp(rfc3339Buffer: $0) }
        guard let parsed else { return nil }
        self = parsed
    }

    /// The instant as RFC 3339 text in UTC, with the shortest of no fraction or 3, 6 or 9 digits that loses nothing.
    ///
    /// Reading the text gives back an equal instant.
    public var rfc3339: String {
        String(unsafeUninitializedCapacity: Self.longestText) { writeRFC3339(into: $0) }
    }

    /// Appends the bytes of ``rfc3339`` to an array.
    ///
    /// - Parameter bytes: The array to extend.
    public func appendRFC3339(to bytes: inout [UInt8]) {
        withRFC3339 { bytes.append(contentsOf: $0) }
    }

    /// Calls a body with the bytes of ``rfc3339``, without making a text of them.
    func withRFC3339<Result>(_ body: (UnsafeBufferPointer<UInt8>) -> Result) -> Result {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: Self.longestText) { buffer in
            let count = writeRFC3339(into: buffer)
            return body(UnsafeBufferPointer(rebasing: buffer[..<count]))
        }
    }

    // MARK: - Writing

    /// The length of `9999-12-31T23:59:59.999999999Z`.
    private static let longestText = 30

    /// Writes the text into a buffer of at least ``longestText`` bytes and returns how many were written.
    private func writeRFC3339(into buffer: UnsafeMutableBufferPointer<UInt8>) -> Int {
        // Counting from the earliest second keeps every number below positive.
        let seconds = UInt64(truncatingIfNeeded: secondsSinceEpoch &- Self.earliestSecond)
        let (year, month, day) = Self.civil(daysSinceYearZero: UInt32(truncatingIfNeeded: seconds / 86_400))
        let time = UInt32(truncatingIfNeeded: seconds % 86_400)
        Self.writeTwoDigits(year / 100, at: 0, in: buffer)
        Self.writeTwoDigits(year % 100, at: 2, in: buffer)
        buffer[4] = UInt8(ascii: "-")
        Self.writeTwoDigits(month, at: 5, in: buffer)
        buffer[7] = UInt8(ascii: "-")
        Self.writeTwoDigits(day, at: 8, in: buffer)
        buffer[10] = UInt8(ascii: "T")
        Self.writeTwoDigits(time / 3600, at: 11, in: buffer)
        buffer[13] = UInt8(ascii: ":")
        Self.writeTwoDigits(time / 60 % 60, at: 14, in: buffer)
        buffer[16] = UInt8(ascii: ":")
        Self.writeTwoDigits(time % 60, at: 17, in: buffer)
        var count = 19
        if nanoseconds != 0 {
            var fraction = UInt32(truncatingIfNeeded: nanoseconds)
            var digits = 9
            while digits > 3, fraction % 1000 == 0 {
                fraction /= 1000
                digits -= 3
            }
            buffer[19] = UInt8(ascii: ".")
            for position in stride(from: 19 + digits, to: 19, by: -1) {
                buffer[position] = UInt8(truncatingIfNeeded: fraction % 10) &+ 48
                fraction /= 10
            }
            count += 1 + digits
        }
        buffer[count] = UInt8(ascii: "Z")
        return count + 1
    }

    @inline(__always)
    private static func writeTwoDigits(_ value: UInt32, at index: Int, in buffer: UnsafeMutableBufferPointer<UInt8>) {
        buffer[index] = UInt8(truncatingIfNeeded: value / 10) &+ 48
        buffer[index + 1] = UInt8(truncatingIfNeeded: value % 10) &+ 48
    }

    // MARK: - Reading

    /// Reads the text that fills a buffer.
    init?(rfc3339Buffer text: UnsafeBufferPointer<UInt8>) {
        // The shortest text is 2026-03-01T09:30:00Z; every fixed position below is inside it.
        guard text.count >= 20,
            text[4] == UInt8(ascii: "-"), text[7] == UInt8(ascii: "-"),
            text[10] | 0x20 == UInt8(ascii: "t"),
            text[13] == UInt8(ascii: ":"), text[16] == UInt8(ascii: ":")
        else { return nil }
        guard let century = Self.twoDigits(in: text, at: 0), let yearOfCentury = Self.twoDigits(in: text, at: 2),
            let month = Self.twoDigits(in: text, at: 5), let day = Self.twoDigits(in: text, at: 8),
            let hour = Self.twoDigits(in: text, at: 11), let minute = Self.twoDigits(in: text, at: 14),
            let second = Self.twoDigits(in: text, at: 17)
        else { return nil }
        let year = century * 100 + yearOfCentury
        guard (1...12).contains(month), day >= 1, day <= Self.daysInMonth(month, year: year),
            hour <= 23, minute <= 59, second <= 60
        else { return nil }

        var index = 19
        var nanoseconds: Int32 = 0
        if text[index] == UInt8(ascii: ".") {
            index += 1
            let start = index
            var scale: Int32 = 100_000_000
            while index < text.count, text[index] &- 48 <= 9 {
                nanoseconds += Int32(text[index] &- 48) * scale
                scale /= 10
                index += 1
            }
            guard index > start else { return nil }
        }
        guard let offset = Self.offset(in: text, from: index) else { return nil }

        let days = Int64(Self.daysSinceYearZero(year: year, month: month, day: day))
        let secondOfDay = Int64(hour * 3600 + minute * 60 + second)
        let total = Self.earliestSecond + days * 86_400 + secondOfDay - offset
        // A 60th second exists only at the end of a UTC day; counted on, it is the next day's first.
        if second == 60, (total - Self.earliestSecond) % 86_400 != 0 { return nil }
        guard total >= Self.earliestSecond, total <= Self.latestSecond else { return nil }
        self.init(unchecked: total, nanoseconds: nanoseconds)
    }

    /// Reads `Z` or `±hh:mm` that must end the text, as seconds east of UTC.
    @inline(__always)
    private static func offset(in text: UnsafeBufferPointer<UInt8>, from index: Int) -> Int64? {
        guard index < text.count else { return nil }
        let sign = text[index]
        if sign | 0x20 == UInt8(ascii: "z") { return index + 1 == text.count ? 0 : nil }
        guard sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"), text.count == index + 6,
            let hours = twoDigits(in: text, at: index + 1), text[index + 3] == UInt8(ascii: ":"),
            let minutes = twoDigits(in: text, at: index + 4), hours <= 23, minutes <= 59
        else { return nil }
        let seconds = Int64(hours * 3600 + minutes * 60)
        return sign == UInt8(ascii: "+") ? seconds : -seconds
    }

    @inline(__always)
    private static func twoDigits(in text: UnsafeBufferPointer<UInt8>, at index: Int) -> UInt32? {
        let tens = text[index] &- 48
        let ones = text[index + 1] &- 48
        guard tens <= 9, ones <= 9 else { return nil }
        return UInt32(tens) * 10 + UInt32(ones)
    }

    // MARK: - Calendar

    // Years are counted from March, so that the leap day ends a year and months have a fixed rhythm of 153 days in five; see
    // RFC 3339, appendix B. A period of 400 years put in front keeps January and February of year 0 positive.
    private static let daysInEra: UInt32 = 146_097
    private static let daysFromMarchToJanuary: UInt32 = 306

    private static func daysSinceYearZero(year: UInt32, month: UInt32, day: UInt32) -> UInt32 {
        let marchYear = month > 2 ? year + 400 : year + 399
        let marchMonth = month > 2 ? month - 3 : month + 9
        let days = 365 * marchYear + marchYear / 4 - marchYear / 100 + marchYear / 400
        // From 1 March of the year -400 to 1 January of the year 0 it is one period, less the 60 days by which March comes later.
        return days + (153 * marchMonth + 2) / 5 + day - 1 - (daysInEra - 60)
    }

    private static func civil(daysSinceYearZero days: UInt32) -> (year: UInt32, month: UInt32, day: UInt32) {
        let sinceMarch = days + daysInEra - 60
        let era = sinceMarch / daysInEra
        let dayOfEra = sinceMarch % daysInEra
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let marchMonth = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * marchMonth + 2) / 5 + 1
        let isAfterNewYear = dayOfYear >= daysFromMarchToJanuary
        let year = era * 400 + yearOfEra + (isAfterNewYear ? 1 : 0) - 400
        return (year, isAfterNewYear ? marchMonth - 9 : marchMonth + 3, day)
    }

    @inline(__always)
    private static func daysInMonth(_ month: UInt32, year: UInt32) -> UInt32 {
        switch month {
        case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
        case 4, 6, 9, 11: 30
        default: 31
        }
    }
}
