// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation
import Testing

@Suite struct TimestampTests {
    @Test(
        "A known text is its known instant, and is written back in the shortest form",
        arguments: [
            ("1970-01-01T00:00:00Z", 0, 0, "1970-01-01T00:00:00Z"),
            ("1985-04-12T23:20:50.52Z", 482_196_050, 520_000_000, "1985-04-12T23:20:50.520Z"),
            ("1996-12-19T16:39:57-08:00", 851_042_397, 0, "1996-12-20T00:39:57Z"),
            ("1937-01-01T12:00:27.87+00:20", -1_041_337_173, 870_000_000, "1937-01-01T11:40:27.870Z"),
            ("2000-02-29T00:00:00-00:00", 951_782_400, 0, "2000-02-29T00:00:00Z"),
            ("2018-04-05t17:31:00z", 1_522_949_460, 0, "2018-04-05T17:31:00Z"),
            ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999, "1969-12-31T23:59:59.999999999Z"),
            ("2026-03-01T09:30:00.000001Z", 1_772_357_400, 1000, "2026-03-01T09:30:00.000001Z"),
            ("2026-03-01T09:30:00.100000000Z", 1_772_357_400, 100_000_000, "2026-03-01T09:30:00.100Z"),
            ("2026-03-01T09:30:00.12345678999999Z", 1_772_357_400, 123_456_789, "2026-03-01T09:30:00.123456789Z"),
            ("2026-03-01T09:30:00.000Z", 1_772_357_400, 0, "2026-03-01T09:30:00Z"),
            ("0000-01-01T00:00:00Z", -62_167_219_200, 0, "0000-01-01T00:00:00Z"),
            ("0000-02-29T12:00:00Z", -62_162_078_400, 0, "0000-02-29T12:00:00Z"),
            ("9999-12-31T23:59:59Z", 253_402_300_799, 0, "9999-12-31T23:59:59Z"),
            ("2026-03-01T23:59:59+23:59", 1_772_323_259, 0, "2026-03-01T00:00:59Z"),
        ] as [(String, Int64, Int32, String)]
    )
    func knownTexts(text: String, seconds: Int64, nanoseconds: Int32, written: String) throws {
        let timestamp = try #require(Timestamp(rfc3339: text))
        #expect(timestamp.secondsSinceEpoch == seconds)
        #expect(timestamp.nanoseconds == nanoseconds)
        #expect(timestamp.rfc3339 == written)
        var bytes = Array("at=".utf8)
        timestamp.appendRFC3339(to: &bytes)
        #expect(String(decoding: bytes, as: UTF8.self) == "at=" + written)
        #expect(Timestamp(rfc3339Bytes: Array(text.utf8)) == timestamp)
        #expect(Timestamp(rfc3339: "<\(text)>".dropFirst().dropLast()) == timestamp)
        #expect(Timestamp(rfc3339Bytes: text.utf8.lazy.map { $0 }) == timestamp)
    }

    @Test(
        "A leap second becomes the first second of the next day",
        arguments: ["1990-12-31T23:59:60Z", "1990-12-31T15:59:60-08:00", "1991-01-01T08:59:60+09:00"]
    )
    func leapSecond(text: String) {
        #expect(Timestamp(rfc3339: text)?.rfc3339 == "1991-01-01T00:00:00Z")
    }

    @Test(
        "What breaks the grammar or the calendar is refused",
        arguments: [
            "", "Z", "2026-03-01", "2026-03-01T09:30:00", "2026-03-01T09:30Z", "2026-03-01 09:30:00Z",
            "2026-03-01T09:30:00.Z", "2026-03-01T09:30:00,5Z", "2026-03-01T09:30:00+0100", "2026-03-01T09:30:00+01",
            "2026-03-01T09:30:00+01:0", "2026-03-01T09:30:00+01:000", "2026-03-01T09:30:00Z ", " 2026-03-01T09:30:00Z",
            "2026-03-01T09:30:00ZZ", "2026-03-01T09:30:00+24:00", "2026-03-01T09:30:00+01:60", "2026-03-01T24:00:00Z",
            "2026-03-01T09:60:00Z", "2026-03-01T09:30:61Z", "2026-03-01T09:30:60Z", "2026-00-01T09:30:00Z",
            "2026-13-01T09:30:00Z", "2026-03-00T09:30:00Z", "2026-03-32T09:30:00Z", "2026-04-31T09:30:00Z",
            "2026-02-29T09:30:00Z", "1900-02-29T09:30:00Z", "2100-02-29T09:30:00Z", "12026-03-01T09:30:00Z",
            "-026-03-01T09:30:00Z", "2026-3-01T09:30:00Z", "2026/03/01T09:30:00Z", "2026-03-01T09.30.00Z",
            "２026-03-01T09:30:00Z", "2026-03-01T09:30:00\u{0}Z", "0000-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "9999-12-31T23:59:60Z",
        ]
    )
    func refused(text: String) {
        #expect(Timestamp(rfc3339: text) == nil)
        #expect(Timestamp(rfc3339Bytes: Array(text.utf8)) == nil)
    }

    @Test("Every prefix of a text and every change of one byte gives an instant or nil, never a trap")
    func damagedTexts() {
        let text = Array("2026-03-01T09:30:00.250+01:00".utf8)
        for length in 0..<text.count {
            #expect(Timestamp(rfc3339Bytes: text.prefix(length)) == nil)
        }
        var accepted = 0
        for position in text.indices {
            for byte in UInt8.min...UInt8.max {
                var damaged = text
                damaged[position] = byte
                guard let timestamp = Timestamp(rfc3339Bytes: damaged) else { continue }
                accepted += 1
                #expect(Timestamp(rfc3339: timestamp.rfc3339) == timestamp)
            }
        }
        #expect(accepted > 0)
    }

    @Test("The calendar agrees with the one of Foundation over nine centuries")
    func calendarAgreesWithFoundation() throws {
        // Foundation's civil calendar is Julian before 1582, so the comparison starts after that.
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(secondsFromGMT: 0))
        for day in stride(from: Int64(-135_000), through: 195_000, by: 41) {
            let date = Date(timeIntervalSince1970: Double(day * 86_400))
            let parts = calendar.dateComponents([.year, .month, .day], from: date)
            let (year, month, dayOfMonth) = (parts.year ?? 0, parts.month ?? 0, parts.day ?? 0)
            let expected = String(format: "%04d-%02d-%02dT00:00:00Z", year, month, dayOfMonth)
            #expect(Timestamp(secondsSinceEpoch: day * 86_400).rfc3339 == expected)
        }
    }

    @Test("A day in four from the year 0000 to 9999 round-trips, and the texts sort like the days")
    func daysOfAllYears() {
        // The calendar repeats after 146,097 days, an odd number: four such periods show every day of it.
        var previous = ""
        var failures = 0
        let lastDay = Timestamp.latest.secondsSinceEpoch / 86_400
        for day in stride(from: Timestamp.earliest.secondsSinceEpoch / 86_400, through: lastDay, by: 4) {
            let timestamp = Timestamp(secondsSinceEpoch: day * 86_400)
            let text = timestamp.rfc3339
            if text <= previous || Timestamp(rfc3339: text) != timestamp { failures += 1 }
            previous = text
        }
        #expect(failures == 0)
        #expect(previous.hasPrefix("9999-12-"))
    }

    @Test("Initializers carry nanoseconds and saturate at the ends of the calendar")
    func initializersSaturate() {
        #expect(
            Timestamp(secondsSinceEpoch: 1, nanoseconds: -1)
                == Timestamp(secondsSinceEpoch: 0, nanoseconds: 999_999_999))
        #expect(Timestamp(secondsSinceEpoch: 0, nanoseconds: 1_500_000_000).rfc3339 == "1970-01-01T00:00:01.500Z")
        #expect(Timestamp(secondsSinceEpoch: .max, nanoseconds: .max) == .latest)
        #expect(Timestamp(secondsSinceEpoch: .min, nanoseconds: .min) == .earliest)
        #expect(Timestamp(millisecondsSinceEpoch: .max) == .latest)
        #expect(Timestamp(millisecondsSinceEpoch: .min) == .earliest)
        #expect(Timestamp(millisecondsSinceEpoch: -1).rfc3339 == "1969-12-31T23:59:59.999Z")
        for milliseconds in [-1001, -1000, -999, -1, 0, 1, 999, 1000, 1_772_357_400_123] as [Int64] {
            #expect(Timestamp(millisecondsSinceEpoch: milliseconds).millisecondsSinceEpoch == milliseconds)
        }
        #expect(Timestamp.earliest.rfc3339 == "0000-01-01T00:00:00Z")
        #expect(Timestamp.latest.rfc3339 == "9999-12-31T23:59:59.999999999Z")
    }

    @Test("Adding a duration and subtracting it again gives the same instant")
    func additionIsUndone() {
        let start = Timestamp(secondsSinceEpoch: 1_772_357_400, nanoseconds: 250_000_000)
        for duration in [
            .zero, .nanoseconds(1), .nanoseconds(-1), .milliseconds(750), .milliseconds(-251), .seconds(86_400),
        ]
            as [Duration]
        {
            #expect(start + duration - duration == start)
            #expect((start + duration) - start == duration)
            #expect(start - (start + duration) == .zero - duration)
        }
        #expect((start + .milliseconds(750)).rfc3339 == "2026-03-01T09:30:01Z")
        #expect((start - .milliseconds(251)).rfc3339 == "2026-03-01T09:29:59.999Z")
    }

    @Test("Arithmetic with the longest durations saturates and never traps")
    func arithmeticSaturates() {
        let longest = Duration(secondsComponent: .max, attosecondsComponent: 999_999_999_999_999_999)
        let most = Duration(secondsComponent: .min, attosecondsComponent: -999_999_999_999_999_999)
        for start in [Timestamp.earliest, .epoch, .latest] {
            #expect(start + longest == .latest)
            #expect(start - longest == .earliest)
            #expect(start + most == .earliest)
            #expect(start - most == .latest)
        }
        #expect(Timestamp.latest + .nanoseconds(1) == .latest)
        #expect(Timestamp.earliest - .nanoseconds(1) == .earliest)
        #expect(Timestamp.earliest - .latest == .zero - (Timestamp.latest - .earliest))
    }

    @Test("Instants sort by time")
    func order() {
        let sorted = [
            .earliest, Timestamp(secondsSinceEpoch: -1, nanoseconds: 999_999_999), .epoch,
            Timestamp(secondsSinceEpoch: 0, nanoseconds: 1), Timestamp(secondsSinceEpoch: 1), .latest,
        ]
        #expect(sorted.reversed().sorted() == sorted)
    }

    @Test("Coding uses the RFC 3339 text, and bad text is an error that quotes it")
    func coding() throws {
        let timestamp = Timestamp(millisecondsSinceEpoch: 1_772_357_400_250)
        let json = try JSONEncoder().encode([timestamp])
        #expect(String(decoding: json, as: UTF8.self) == #"["2026-03-01T09:30:00.250Z"]"#)
        #expect(try JSONDecoder().decode([Timestamp].self, from: json) == [timestamp])
        let error = #expect(throws: DecodingError.self) {
            try JSONDecoder().decode([Timestamp].self, from: Data(#"["yesterday"]"#.utf8))
        }
        #expect("\(String(describing: error))".contains("yesterday"))
    }
}
