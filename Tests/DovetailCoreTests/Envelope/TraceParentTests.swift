// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct TraceParentTests {
    static let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

    @Test("A text of version 00 is read into its parts and written back as it was")
    func roundTrip() throws {
        let parent = try #require(TraceParent(Self.text))
        #expect(parent.version == 0)
        #expect(parent.traceIDHigh == 0x4bf9_2f35_77b3_4da6)
        #expect(parent.traceIDLow == 0xa3ce_929d_0e0e_4736)
        #expect(parent.traceID == "4bf92f3577b34da6a3ce929d0e0e4736")
        #expect(parent.parentID == 0x00f0_67aa_0ba9_02b7)
        #expect(parent.flags == 1)
        #expect(parent.isSampled)
        #expect(parent.text == Self.text)
        #expect(parent.description == Self.text)
        for flags in ["00", "02", "03", "a0", "ff"] {
            let other = Self.text.dropLast(2) + flags
            #expect(TraceParent(String(other))?.text == String(other))
        }
        #expect(TraceParent(Self.text.dropLast(2) + "fe")?.isSampled == false)
    }

    @Test("A later version is read as far as it is known, and written as version 00")
    func laterVersions() {
        let known = Self.text.dropFirst(2)
        #expect(TraceParent("cc" + known)?.text == Self.text)
        #expect(TraceParent("01" + known + "-what-comes-next")?.text == Self.text)
        #expect(TraceParent("fe" + known.dropLast(2) + "ff-")?.text == "00" + known.dropLast(2) + "03")
        #expect(TraceParent("cc" + known)?.version == 0xcc)
        #expect(TraceParent("cc" + known + ".what-comes-next") == nil)
        #expect(TraceParent("ff" + known) == nil)
    }

    @Test("Changing any one character of a text to one outside its grammar makes it unreadable")
    func strictness() {
        for position in 0..<55 {
            for bad in [" ", "A", "F", "g", "G", "/", ":", "@", "`", ".", "_", "\u{0}", "é"] {
                let text = String(Self.text.prefix(position)) + bad + String(Self.text.dropFirst(position + 1))
                #expect(TraceParent(text) == nil)
            }
            #expect(TraceParent(String(Self.text.prefix(position))) == nil)
        }
        for addition in ["-", "0", " ", "-00"] {
            #expect(TraceParent(Self.text + addition) == nil)
        }
    }

    @Test("An identifier of zero is refused in text and in parts")
    func zeroIdentifiers() {
        #expect(TraceParent("00-00000000000000000000000000000000-00f067aa0ba902b7-01") == nil)
        #expect(TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01") == nil)
        #expect(TraceParent(traceIDHigh: 0, traceIDLow: 0, parentID: 1) == nil)
        #expect(TraceParent(traceIDHigh: 1, traceIDLow: 1, parentID: 0) == nil)
        #expect(
            TraceParent(traceIDHigh: 0, traceIDLow: 1, parentID: 1)?.text
                == "00-\(String(repeating: "0", count: 31))1-0000000000000001-00")
    }

    @Test("A child keeps the trace and the known flags, and has its own span")
    func child() throws {
        let parent = try #require(TraceParent("cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-ff-more"))
        #expect(parent.child(spanID: 0xabc).text == "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000abc-03")
        #expect(parent.child(spanID: 0).parentID == 1)
    }
}
