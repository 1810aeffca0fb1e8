// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
    package import FoundationEssentials
#else
    package import Foundation
#endif

// The strategies of Foundation for ISO 8601 drop fractions of a second, and refuse to read them.

extension JSONEncoder.DateEncodingStrategy {
    /// Writes dates as RFC 3339 text in UTC, with no more digits than it takes to read the same date again.
    package static var rfc3339: Self {
        .custom { date, encoder in
            guard let timestamp = Timestamp(date) else {
                let context = EncodingError.Context(
                    codingPath: encoder.codingPath, debugDescription: "The date lies outside the years 0 to 9999.")
                // The number and not the date, whose own description traps when it is far enough away.
                throw EncodingError.invalidValue(date.timeIntervalSinceReferenceDate, context)
            }
            try timestamp.encode(to: encoder)
        }
    }
}

extension JSONDecoder.DateDecodingStrategy {
    /// Reads dates from RFC 3339 text, with any offset and any number of digits.
    package static var rfc3339: Self {
        .custom { decoder in try Timestamp(from: decoder).date }
    }
}

extension Timestamp {
    /// From the epoch of RFC 3339 and Unix to the one of Foundation, 2001.
    private static let secondsToReferenceDate: Int64 = 978_307_200

    /// The date, rounded to the fewest digits that are enough to tell it from its neighbours.
    fileprivate init?(_ date: Date) {
        let interval = date.timeIntervalSinceReferenceDate
        let whole = interval.rounded(.down)
        guard let seconds = Int64(exactly: whole) else { return nil }
        let (sum, overflow) = seconds.addingReportingOverflow(Self.secondsToReferenceDate)
        guard !overflow else { return nil }
        var timestamp = Self.latest
        for unit: Double in [1, 1e3, 1e6, 1e9] {
            // A fraction that rounds up to one carries into the seconds.
            let nanoseconds = Int64(((interval - whole) * unit).rounded() * (1e9 / unit))
            timestamp = Timestamp(secondsSinceEpoch: sum, nanoseconds: 0) + .nanoseconds(nanoseconds)
            if timestamp.date == date { break }
        }
        // Out of range, the timestamp has stopped at one end.
        guard abs(timestamp.date.timeIntervalSince(date)) < 1 else { return nil }
        self = timestamp
    }

    fileprivate var date: Date {
        let seconds = Double(secondsSinceEpoch - Self.secondsToReferenceDate)
        return Date(timeIntervalSinceReferenceDate: seconds + Double(nanoseconds) / 1e9)
    }
}
