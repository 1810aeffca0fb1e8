// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct MessageVersionTests {
    @Test(
        "A version is one or two whole numbers",
        arguments: [
            ("1", 1, 0), ("0", 0, 0), ("2.1", 2, 1), ("10.200", 10, 200), ("007", 7, 0),
            ("9223372036854775807.0", .max, 0),
        ] as [(String, Int, Int)])
    func parsed(text: String, major: Int, minor: Int) {
        #expect(MessageVersion(text) == MessageVersion(major: major, minor: minor))
    }

    @Test(
        "Anything else is none",
        arguments: [
            "", ".", "1.", ".1", "1.2.3", "-1", "+1", "1.-2", " 1", "1 ", "v1", "1,0", "٣", "9223372036854775808",
        ])
    func refused(text: String) {
        #expect(MessageVersion(text) == nil)
    }

    @Test("Versions are ordered by major, then minor part, as numbers")
    func order() {
        let versions: [MessageVersion] = ["1", "1.2", "1.10", "2", "10"].compactMap { MessageVersion($0) }
        #expect(versions.count == 5)
        #expect(versions.shuffled().sorted() == versions)
        #expect(2 as MessageVersion == MessageVersion(major: 2, minor: 0))
    }

    @Test("The text is the shortest, and reads back as the same version")
    func text() {
        #expect(MessageVersion(major: 2).description == "2")
        #expect(MessageVersion(major: 2, minor: 1).description == "2.1")
        for version in [MessageVersion(major: 0), MessageVersion(major: .max, minor: .max), -5] {
            #expect(MessageVersion(version.description) == version)
        }
    }

    @Test("Negative parts, which text cannot hold, count as zero")
    func negative() {
        #expect(MessageVersion(major: -3, minor: -1) == MessageVersion(major: 0, minor: 0))
    }
}
