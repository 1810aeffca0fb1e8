// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Foundation
import Testing

@Suite struct JSONLinesInstrumentTests {
    private let lines = Kept<String>()

    @Test("An event is one line: time, name, figures, attributes")
    func line() {
        let instrument = JSONLinesInstrument(runtime: Runtime(time: StoppedTime())) { lines.add($0) }
        instrument.record(
            Probe(
                count: 3, duration: .milliseconds(1500), dimensions: [("a", "1")],
                details: [("b", "\"two\"\nlines\u{1}")]))
        instrument.record(Probe())
        #expect(
            lines.all == [
                #"{"time":"2026-03-01T09:30:00.250Z","event":"probe.event","count":3,"seconds":1.5,"#
                    + #""attributes":{"a":"1","b":"\"two\"\nlines\u0001"}}"#,
                #"{"time":"2026-03-01T09:30:00.250Z","event":"probe.event","attributes":{}}"#,
            ])
    }

    @Test("Any event is a line of valid JSON without line breaks")
    func validJSON() throws {
        let instrument = JSONLinesInstrument(runtime: Runtime(time: StoppedTime())) { lines.add($0) }
        // Foundation, which reads the lines here, takes a byte order mark out of any string.
        let texts = RandomEnvelopes.texts.filter { !$0.unicodeScalars.contains("\u{feff}") }
        for text in texts {
            instrument.record(
                Probe(
                    count: .min, duration: .nanoseconds(1), dimensions: [("x", text), ("x", "again")],
                    details: [("y", text), ("x", "again")]))
        }
        #expect(lines.all.count == texts.count)
        for (line, text) in zip(lines.all, texts) {
            #expect(!line.contains("\n"))
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            #expect(object?["attributes"] as? [String: String] == ["x": text, "y": text])
            #expect(object?["seconds"] as? Double == 1e-9)
        }
    }

    @Test("All values pass the redactor, which is told the type of the message")
    func redacted() throws {
        let redactor = NoDigits()
        let base = Runtime(time: StoppedTime(), redactor: redactor)
        let instrument = JSONLinesInstrument(runtime: base) { lines.add($0) }
        var attributes = EnvelopeAttributes(id: "id-1", source: "/s", type: "shop.order.placed", topic: "orders")
        attributes.partitionKey = "4111 1111"
        base.with(instrument: instrument).instrument?.record(
            MessageRetried(attributes, consumer: "payments", attempt: 2, error: "card 4111"))
        let line = try #require(lines.all.first)
        #expect(line.contains(#""exception.message":"card ****""#))
        #expect(line.contains(#""dovetail.message.partition_key":"**** ****""#))
        #expect(line.hasPrefix(#"{"time":"2026-03-01T09:30:00.250Z""#))
        #expect(!redactor.asked.all.isEmpty)
        #expect(redactor.asked.all.allSatisfy { $0.type == "shop.order.placed" })
    }

    @Test("Without a runtime of its own it takes the one of the task")
    func currentRuntime() {
        let instrument = JSONLinesInstrument { lines.add($0) }
        Runtime.$current.withValue(Runtime(time: StoppedTime(at: "2001-02-03T04:05:06Z"), redactor: NoDigits())) {
            instrument.record(Probe(details: [("x", "7")]))
        }
        #expect(
            lines.all == [#"{"time":"2001-02-03T04:05:06Z","event":"probe.event","attributes":{"x":"*"}}"#])
    }

    @Test("Lines to a file are whole, also when many tasks write", .timeLimit(.minutes(10)))
    func file() async throws {
        let url = FileManager.default.temporaryDirectory.appending(path: "dovetail-lines-\(UUID().uuidString)")
        try Data().write(to: url)
        defer { try? FileManager.default.removeItem(at: url) }
        let handle = try FileHandle(forWritingTo: url)
        let instrument = JSONLinesInstrument(
            fileDescriptor: handle.fileDescriptor, runtime: Runtime(time: StoppedTime()))
        await withTaskGroup(of: Void.self) { group in
            for task in 0..<4 {
                group.addTask {
                    for _ in 0..<50 {
                        instrument.record(Probe(details: [("x", String(repeating: "\(task)", count: 2000))]))
                    }
                }
            }
        }
        try handle.close()
        let written = try String(contentsOf: url, encoding: .utf8).split(separator: "\n")
        #expect(written.count == 200)
        #expect(written.allSatisfy { $0.hasPrefix("{\"time\"") && $0.hasSuffix("}}") })
    }

    @Test("A file that takes nothing is given up, and nothing else happens")
    func closedFile() {
        JSONLinesInstrument(fileDescriptor: -1, runtime: Runtime(time: StoppedTime())).record(Probe())
    }
}
