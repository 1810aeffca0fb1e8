// SPDX-License-Identifier: Apache-2.0

import CFloors
import DovetailCore

/// Identifiers, digests and times, beside plain C.
enum IdentityWorkloads {
    // MARK: UUIDv7

    static let uuidText = Workload.loop("UUIDv7.text") { count in
        for index in 0..<count {
            sink(UUIDv7(millisecondsSinceEpoch: 1_772_357_400_250, randomA: 7, randomB: UInt64(index)).text)
        }
    }

    static let plainUUIDText = Workload.loop("a table of digits in C, into a String") { count in
        for index in 0..<count {
            let text = String(unsafeUninitializedCapacity: 36) { buffer in
                buffer.withMemoryRebound(to: CChar.self) {
                    floor_uuid_text(0x019C_AA1D_5A7A_7007, 0x8000_0000_0000_0000 | UInt64(index), $0.baseAddress)
                }
                return 36
            }
            sink(text)
        }
    }

    static let messageID = Workload.loop("Runtime.makeMessageID") { count in
        let runtime = Runtime.system
        for _ in 0..<count { sink(runtime.makeMessageID()) }
    }

    // MARK: SHA-256

    static func sha256(_ size: Int) -> Workload {
        Workload("SHA256.hash of \(size) bytes") { count in
            let bytes = Bytes(repeating: 0x5A, count: size)
            return {
                for _ in 0..<count { sink(SHA256.hash(bytes)) }
            }
        }
    }

    static func plainSHA256(_ size: Int) -> Workload {
        Workload("the standard's own steps in C") { count in
            let bytes = Bytes(repeating: 0x5A, count: size)
            var digest = Bytes(repeating: 0, count: 32)
            floor_sha256(bytes, bytes.count, &digest)
            try WorkloadError.check(digest, is: Bytes(SHA256.hash(bytes).bytes), "The digest of the plain loop")
            return {
                var digest = Bytes(repeating: 0, count: 32)
                for _ in 0..<count { floor_sha256(bytes, bytes.count, &digest) }
                sink(digest)
            }
        }
    }

    // MARK: Timestamp

    private static let second: Int64 = 1_772_357_400

    static let formatTime = Workload.loop("Timestamp.rfc3339") { count in
        for index in 0..<count {
            sink(Timestamp(secondsSinceEpoch: second + Int64(index), nanoseconds: 250_123_456).rfc3339)
        }
    }

    static let plainFormatTime = Workload.loop("gmtime_r and snprintf, into a String") { count in
        for index in 0..<count {
            let text = String(unsafeUninitializedCapacity: 40) { buffer in
                buffer.withMemoryRebound(to: CChar.self) {
                    Int(floor_format_time(second + Int64(index), 250_123_456, $0.baseAddress, 40))
                }
            }
            sink(text)
        }
    }

    static let parseTime = Workload("Timestamp(rfc3339:)") { count in
        let texts = timeTexts()
        return {
            var sum: Int64 = 0
            for index in 0..<count { sum &+= Timestamp(rfc3339: texts[index & 63])?.secondsSinceEpoch ?? 0 }
            try WorkloadError.check(sum, is: sumOfSeconds(count), "The sum of the seconds")
        }
    }

    static let plainParseTime = Workload("sscanf and timegm") { count in
        let texts = timeTexts()
        return {
            var sum: Int64 = 0
            var nanoseconds: Int32 = 0
            for index in 0..<count { sum &+= floor_parse_time(texts[index & 63], &nanoseconds) }
            try WorkloadError.check(sum, is: sumOfSeconds(count), "The sum of the seconds")
        }
    }

    private static func timeTexts() -> [String] {
        (0..<64).map { Timestamp(secondsSinceEpoch: second + $0, nanoseconds: 250_123_456).rfc3339 }
    }

    private static func sumOfSeconds(_ count: Int) -> Int64 {
        (0..<Int64(count)).reduce(0) { $0 + second + $1 & 63 }
    }
}
