// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct BaggageTests {
    @Test("The example of the specification is read and written back")
    func publishedExample() {
        let text = "key1=value1;property1;property2,key2=value2,key3=value3;propertyKey=propertyValue"
        let baggage = Baggage(text)
        #expect(baggage.members.map(\.key) == ["key1", "key2", "key3"])
        #expect(baggage["key2"] == "value2")
        #expect(baggage.members.first?.properties.map(\.key) == ["property1", "property2"])
        #expect(baggage.members.last?.properties.first?.value == "propertyValue")
        #expect(baggage.text == text)
        #expect(baggage.description == text)
    }

    @Test("White space around every part is dropped")
    func whiteSpace() {
        #expect(Baggage(" a\t = 1 ; p ;\tq = 2 , b =\t3 ").text == "a=1;p;q=2,b=3")
    }

    @Test(
        "Any text survives as a value",
        arguments: [
            "", "gold", "50% off, today; \"only\"", "a=b", "Ünïcode ☃", "\\", "%41", "\n\t\u{0}", " lead and trail ",
        ]
    )
    func anyValue(value: String) throws {
        var baggage = Baggage()
        let property = try #require(Baggage.Property(key: "p", value: value))
        let taken1 = baggage.append(key: "k", value: value, properties: [property])
        #expect(taken1)
        let taken2 = baggage.append(key: "after", value: "1")
        #expect(taken2)
        #expect(baggage.text.utf8.allSatisfy { (0x21...0x7e).contains($0) })
        #expect(Baggage(baggage.text) == baggage)
        #expect(Baggage(baggage.text)["k"] == value)
    }

    @Test("Percent-encoding is decoded; bad UTF-8 becomes a replacement character and a stray sign stays")
    func decoding() {
        #expect(Baggage("a=%48%c3%a9")["a"] == "Hé")
        #expect(Baggage("a=%ff")["a"] == "\u{fffd}")
        #expect(Baggage("a=5%")["a"] == "5%")
        #expect(Baggage("a=5%4")["a"] == "5%4")
        #expect(Baggage("a=%zz1")["a"] == "%zz1")
        #expect(Baggage("a=b=c")["a"] == "b=c")
    }

    @Test(
        "A bad member is skipped and its neighbours stay",
        arguments: [
            "b", "=2", "b c=2", "b=2 3", "b=\"2\"", "b=2;", "b=2;=1", "b=2;p q", "b=é", "é=2", "b=a\\b", "", " ",
        ]
    )
    func badMembers(bad: String) {
        #expect(Baggage("a=1,\(bad),c=3").text == "a=1,c=3")
    }

    @Test("Members past sixty-four are left out, over all fields")
    func memberLimit() {
        let fields = (1...70).map { "k\($0)=v" }
        #expect(Baggage(combining: fields).text == fields.prefix(64).joined(separator: ","))
        var baggage = Baggage(combining: fields.prefix(63))
        let taken3 = baggage.append(key: "x", value: "")
        #expect(taken3)
        let taken4 = baggage.append(key: "y", value: "")
        #expect(!taken4)
        #expect(baggage.members.count == 64)
    }

    @Test("The text never exceeds 8192 bytes, and a member that still fits is taken after one that did not")
    func byteLimit() {
        let fitting = "a=" + String(repeating: "x", count: 8190)
        #expect(Baggage(fitting).text == fitting)
        #expect(Baggage(fitting + "x").isEmpty)
        let most = "a=" + String(repeating: "x", count: 8186)
        #expect(Baggage("\(most),b=22,c=3").text == "\(most),c=3")
        var encoded = Baggage()
        let taken5 = encoded.append(key: "a", value: String(repeating: "é", count: 1366))
        #expect(!taken5)
        let taken6 = encoded.append(key: "a", value: String(repeating: "é", count: 1365))
        #expect(taken6)
        #expect(encoded.text.utf8.count == 8192)
    }

    @Test("Removing a key makes room again")
    func removing() {
        var baggage = Baggage("a=1,b=2,a=3")
        baggage.remove("a")
        #expect(baggage.text == "b=2")
        #expect(baggage == Baggage("b=2"))
        baggage.remove("b")
        #expect(baggage == Baggage())
    }

    @Test("A key that is no token is refused", arguments: ["", "a b", "a,b", "a=b", "é", "a\"", "(a)", "a;"])
    func keysAreTokens(key: String) {
        #expect(Baggage.Member(key: key, value: "1") == nil)
        #expect(Baggage.Property(key: key) == nil)
        var baggage = Baggage()
        let taken7 = baggage.append(key: key, value: "1")
        #expect(!taken7)
    }
}
