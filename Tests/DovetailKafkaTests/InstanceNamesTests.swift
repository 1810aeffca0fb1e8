// SPDX-License-Identifier: Apache-2.0

import Dovetail
import Testing

@testable import DovetailKafka

@Suite
struct InstanceNamesTests {
    @Test("Members of one group have different names, and a name that was given back is taken again")
    func different() throws {
        let names = try InstanceNames("pod-0")
        let first = names.take(in: "g")
        var second: InstanceNames.Taken? = names.take(in: "g")
        #expect(first.name == "pod-0")
        #expect(second?.name == "pod-0-2")
        #expect(names.take(in: "other").name == "pod-0")
        first.giveBack()
        first.giveBack()
        let heir = names.take(in: "g")
        #expect(heir.name == "pod-0")
        // What is forgotten is given back too.
        second = nil
        #expect(names.take(in: "g").name == "pod-0-2")
        #expect(heir.name == "pod-0")
    }

    @Test(
        "A name that Kafka does not take is refused",
        arguments: ["", ".", "..", "a b", "ä", String(repeating: "a", count: 242)])
    func refused(name: String) {
        let error = #expect(throws: TransportError.self) { try InstanceNames(name) }
        #expect(error?.code == .refused)
    }
}
