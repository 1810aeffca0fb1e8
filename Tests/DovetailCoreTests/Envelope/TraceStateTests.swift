// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct TraceStateTests {
    @Test(
        "A list is kept in order, without white space and empty members",
        arguments: [
            ("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7", "congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"),
            (" a=1 \t,\t,, b=2,", "a=1,b=2"), ("", ""), (" , ,\t", ""), ("0a=1", "0a=1"),
            ("tenant@vendor=x", "tenant@vendor=x"),
            ("a= x", "a= x"), ("a=\t x", nil), ("a=1,b", nil), ("a=1,=2", nil), ("a=", nil), ("a= ", nil),
            ("a=1,B=2", nil),
            ("a =1", nil), ("@a=1", nil), ("_a=1", nil), ("a=b=c", nil), ("a=é", nil), ("é=1", nil), ("a=\u{7f}", nil),
            ("a=1;b", "a=1;b"), ("a=1;b=2", nil),
        ] as [(String, String?)]
    )
    func grammar(text: String, kept: String?) {
        #expect(TraceState(text)?.text == kept)
    }

    @Test("Keys and values of 256 bytes are accepted and longer ones are not")
    func partLengths() {
        let longest = String(repeating: "a", count: 256)
        #expect(TraceState("\(longest)=\(longest)")?[longest] == longest)
        #expect(TraceState("\(longest)a=1") == nil)
        #expect(TraceState("a=\(longest)a") == nil)
    }

    @Test("Thirty-two members are accepted over any number of fields, and one more is not")
    func memberLimit() {
        let fields = (1...32).map { "k\($0)=v\($0)" }
        #expect(TraceState(combining: fields)?.members.count == 32)
        #expect(TraceState(fields.joined(separator: " , ,"))?.text == fields.joined(separator: ","))
        #expect(TraceState(combining: fields + ["k33=v33"]) == nil)
        #expect(TraceState(combining: fields + [" ,"])?.text == fields.joined(separator: ","))
    }

    @Test("Of two members with one key the first stays, also over several fields")
    func duplicates() {
        #expect(TraceState("a=1,b=2,a=3")?.text == "a=1,b=2")
        #expect(TraceState(combining: ["a=1,b=2", "b=3,c=4"])?.text == "a=1,b=2,c=4")
        #expect(TraceState("a=1,aa=2")?.text == "a=1,aa=2")
    }

    @Test("A changed member moves to the front, and the list never grows past its limit")
    func setting() throws {
        let state = try #require(TraceState("a=1,b=2,c=3"))
        #expect(state.setting("b", to: "9")?.text == "b=9,a=1,c=3")
        #expect(state.setting("d", to: "4")?.text == "d=4,a=1,b=2,c=3")
        #expect(TraceState().setting("a", to: "1")?.text == "a=1")
        #expect(state.removing("b").text == "a=1,c=3")
        #expect(state.removing("x") == state)
        #expect(state["c"] == "3")
        #expect(state["d"] == nil)
        let full = try #require(TraceState((1...32).map { "k\($0)=v" }.joined(separator: ",")))
        let changed = try #require(full.setting("new", to: "x"))
        #expect(changed.members.count == 32)
        #expect(changed["new"] == "x")
        #expect(changed["k32"] == nil)
        #expect(full.setting("k32", to: "x")?.members.count == 32)
        for (key, value) in [("A", "1"), ("", "1"), ("a", ""), ("a", "x "), ("a", "x,y"), ("a", "x=y"), ("a", "\n")] {
            #expect(state.setting(key, to: value) == nil)
        }
    }
}
