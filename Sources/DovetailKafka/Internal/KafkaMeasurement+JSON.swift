// SPDX-License-Identifier: Apache-2.0

import DovetailCore

extension KafkaMeasurement {
    /// Reads the [statistics of librdkafka](https://github.com/confluentinc/librdkafka/blob/master/STATISTICS.md); `nil` if they
    /// are no object of JSON.
    ///
    /// What a version does not have, or has in another form, is left as it is.
    init?(json: Bytes) {
        self.init()
        var scanner = JSONScanner(json)
        do throws(JSONScannerError) {
            try scanner.readMembers { key, scanner throws(JSONScannerError) in
                switch key {
                case "msg_cnt": queuedMessages = try scanner.readCount()
                case "msg_size": queuedBytes = try scanner.readCount()
                case "txmsgs": sentMessages = try scanner.readCount()
                case "rxmsgs": receivedMessages = try scanner.readCount()
                case "brokers":
                    try scanner.readMembers { _, scanner throws(JSONScannerError) in
                        brokers.append(try Broker(&scanner))
                    }
                case "topics":
                    try scanner.readMembers { _, scanner throws(JSONScannerError) in
                        try readTopic(&scanner)
                    }
                default: try scanner.skipValue()
                }
            }
            try scanner.checkEnd()
        } catch {
            return nil
        }
        brokers.sort { $0.name < $1.name }
    }

    private mutating func readTopic(_ scanner: inout JSONScanner) throws(JSONScannerError) {
        try scanner.readMembers { key, scanner throws(JSONScannerError) in
            guard key == "partitions" else {
                try scanner.skipValue()
                return
            }
            try scanner.readMembers { _, scanner throws(JSONScannerError) in
                try scanner.readMembers { key, scanner throws(JSONScannerError) in
                    // It is -1 while nothing is known, as of a partition that is another member's.
                    guard key == "consumer_lag", let own = try scanner.readInteger() else {
                        if key != "consumer_lag" { try scanner.skipValue() }
                        return
                    }
                    if own >= 0 { lag = Int(clamping: own).addingSaturated(to: lag ?? 0) }
                }
            }
        }
    }
}

extension KafkaMeasurement.Broker {
    fileprivate init(_ scanner: inout JSONScanner) throws(JSONScannerError) {
        self.init()
        try scanner.readMembers { key, scanner throws(JSONScannerError) in
            switch key {
            case "name": name = try scanner.readText()
            case "state": state = try scanner.readText()
            case "req_timeouts": timeouts = try scanner.readCount()
            case "waitresp_cnt": unanswered = try scanner.readCount()
            case "rtt":
                var (mean, count): (Int64, Int64) = (0, 0)
                try scanner.readMembers { key, scanner throws(JSONScannerError) in
                    switch key {
                    case "avg": mean = try scanner.readInteger() ?? 0
                    case "cnt": count = try scanner.readInteger() ?? 0
                    default: try scanner.skipValue()
                    }
                }
                if count > 0 { roundTrip = .microseconds(mean) }
            default: try scanner.skipValue()
            }
        }
    }
}

extension JSONScanner {
    /// Calls a body before the value of each member of an object, for it to read or skip; skips what is no object.
    fileprivate mutating func readMembers(
        _ body: (_ key: String, _ scanner: inout JSONScanner) throws(JSONScannerError) -> Void
    ) throws(JSONScannerError) {
        guard try peekKind() == .object else {
            try skipValue()
            return
        }
        var members = try beginObject()
        while let key = try nextKey(&members) { try body(key, &self) }
    }

    fileprivate mutating func readInteger() throws(JSONScannerError) -> Int64? {
        guard try peekKind() == .number else {
            try skipValue()
            return nil
        }
        if case .integer(let number) = try parseNumber() { return number }
        return nil
    }

    fileprivate mutating func readCount() throws(JSONScannerError) -> Int {
        Int(clamping: max(0, try readInteger() ?? 0))
    }

    fileprivate mutating func readText() throws(JSONScannerError) -> String {
        if try peekKind() == .string { return try parseString() }
        try skipValue()
        return ""
    }
}

extension Int {
    fileprivate func addingSaturated(to other: Int) -> Int {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
