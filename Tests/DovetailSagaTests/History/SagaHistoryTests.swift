// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailOutbox
import DovetailSaga
import DovetailTesting
import Foundation
import SagaScenarios
import Synchronization
import Testing

private struct NoDigits: Redactor {
    func redact(_ text: String, of type: MessageType?) -> String { String(text.map { $0.isNumber ? "#" : $0 }) }
}

@Suite(.timeLimit(.minutes(10)))
struct SagaHistoryTests {
    @Test(
        "61: History and state are written together, and every change has its record",
        arguments: .simulated(seeds: 20, crashes: CrashPlan(atEffects: 0.1, most: 6))
    )
    func historyAgreesWithState(world: TestWorld) async throws {
        let workers = Workers()
        workers.script("b", .lost)
        world.add("one") { node in
            try Engine(ordinary(workers), in: node.database("main"), settings: SagaEngineSettings(lease: .seconds(5)))
        }
        let desk = try Engine(ordinary(workers), in: world.database)
        let store = world.database.sagaStore
        try await world.run {
            try await desk.start(Plain.self, id: "1", state: .init())
            while true {
                let (row, records) = try await world.database.withReadTransaction { tx in
                    (try await store.load("1", in: tx), try await store.history(of: "1", after: 0, limit: 1000, in: tx))
                }
                let notes = try #require(try await desk.instance("1")).state(of: Plain.self).notes
                #expect(row?.records == Int64(records.count))
                #expect(Set(records.filter { $0.kind == .stepDone }.compactMap(\.step)) == Set(notes.keys))
                if row?.status.isFinal ?? true { break }
                try await world.advance(by: .milliseconds(50))
            }
            #expect(try await desk.status("1") == .completed)
        }
    }

    @Test("What a record tells passes the redactor, and what a step keeps to itself is not told")
    func isRedacted() async throws {
        let world = TestWorld(seed: 1)
        let runtime = Runtime(time: world.time, random: world.runtime.random, redactor: NoDigits())
        struct Card: Error, CustomStringConvertible { let description = "card 4111 declined" }
        let saga = Plain {
            Step("card", into: \.answer) { _, _ in "4111" }
            Step("secret", into: \.notes["s"]) { _, _ in "swordfish" }.redacted()
            Step("fails") { _, step in
                if step.attempt == 1 { throw Card() }
            }
            Step("silent") { _, step in
                if step.attempt == 1 { throw SagaAbort("swordfish") }
            }
            .redacted()
        }
        let engine = try Engine(saga, in: world.database, runtime: runtime)
        try await world.run(engine) {
            try await engine.start(Plain.self, id: "id-7", state: .init())
            try await world.untilQuiet()
            let history = try await engine.history(of: "id-7")
            for text in [history.jsonLines(), history.html(), history.mermaid()] {
                #expect(!text.contains("4111"))
                #expect(!text.contains("swordfish"))
            }
            #expect(history.jsonLines().contains("card ####"))
            // The state itself is kept as it is.
            #expect(try await engine.instance("id-7")?.state(of: Plain.self).notes["s"] == "swordfish")
        }
    }

    // MARK: Exports

    private static let start = Timestamp(secondsSinceEpoch: 1_767_225_600)

    private static let history = SagaHistory(
        id: "trip-7", name: "trip", status: .compensated, businessKey: "<7>",
        [
            record(1, .started), record(2, .stepStarted, "match", attempt: 1),
            record(3, .stepDone, "match", attempt: 1, payload: #"{"driver":"d1"}"#),
            record(4, .stepStarted, "pay; #1", attempt: 1),
            record(5, .stepFailed, "pay; #1", attempt: 1, detail: "gateway \"A\" <down>\nagain"),
            record(6, .stepRefused, "pay; #1", attempt: 2, detail: "declined"),
            record(7, .compensating, detail: "The step 'pay; #1' refused: declined"),
            record(8, .undoStarted, "match", attempt: 1), record(9, .undone, "match", attempt: 1),
            record(10, .operated, detail: "retry: why not", author: "ann & bob"), record(11, .compensated),
        ])

    private static func record(
        _ number: Int64, _ kind: SagaRecord.Kind, _ step: String? = nil, attempt: Int? = nil, detail: String? = nil,
        payload: String? = nil, author: String? = nil
    ) -> SagaRecord {
        SagaRecord(
            sagaID: "trip-7", number: number, time: start + .milliseconds(Int(number * number * 250)), kind: kind,
            step: step,
            attempt: attempt, detail: detail, payload: payload, author: author)
    }

    @Test("63: The exports of a history are as in the golden files", arguments: ["jsonl", "mmd", "html"])
    func exportsAreGolden(kind: String) throws {
        let text =
            switch kind {
            case "jsonl": Self.history.jsonLines()
            case "mmd": Self.history.mermaid()
            default: Self.history.html()
            }
        try checkGolden(text, "Sagas/history.\(kind)")
    }

    @Test("A timeline needs no other file and no network, and has one row for each record")
    func timelineStandsAlone() {
        let page = Self.history.html()
        for text in ["http:", "https:", "//", "src=", "href=", "url(", "@import", "<script", "<link", "<img"] {
            #expect(!page.contains(text), "\(text)")
        }
        let rows = page.components(separatedBy: "<tr class=").count - 1
        #expect(rows == Self.history.records.count)
        for record in Self.history.records { #expect(page.contains("data-number=\"\(record.number)\"")) }
        #expect(page.contains("&lt;7&gt;") && !page.contains("<7>"))
        #expect(page.contains("gateway &quot;A&quot; &lt;down&gt;"))
    }

    @Test("Above its rows a timeline says what it is about, how it stands and why, and what became of each step")
    func timelineSaysWhy() {
        let page = Self.history.html()
        #expect(page.contains("<h1>&lt;7&gt;</h1>"))
        #expect(page.contains("<dt>Kind</dt> <dd>trip</dd>"))
        let reason = "The step &#39;pay; #1&#39; refused: declined"
        #expect(page.contains("<strong>Compensated: what was done is undone.</strong>\(reason)</p>"))
        #expect(page.contains("<li class=\"back\">match <span>undone</span></li>"))
        #expect(page.contains("<li class=\"bad\">pay; #1 <span>refused</span></li>"))
        #expect(SagaHistory(id: "x", []).html().contains("Forgotten"))
        #expect(Self.history.html(title: "Trip").contains("<h1>Trip</h1>"))
    }

    @Test("59: An error is in every export as it was, whatever it says")
    func errorsAreExported() throws {
        let text = "na\u{EF}ve \"quoted\" \\ <b>\u{1F600}</b>\u{1}; # %% | {}"
        let record = SagaRecord(sagaID: "1", number: 1, time: Self.start, kind: .stepFailed, step: "a", detail: text)
        let history = SagaHistory(id: "1", [record])
        let object = try JSONSerialization.jsonObject(with: Data(history.jsonLines().utf8)) as? [String: Any]
        #expect(object?["detail"] as? String == text)
        #expect(
            history.html().contains("na\u{EF}ve &quot;quoted&quot; \\ &lt;b&gt;\u{1F600}&lt;/b&gt;\u{FFFD}; # %% | {}"))
        #expect(
            history.mermaid().contains(
                "na\u{EF}ve #34;quoted#34; #92; #60;b#62;\u{1F600}#60;/b#62; #59; #35; #37;#37; #124;"))
    }

    @Test("A line of JSON tells all of a record")
    func linesAreJSON() throws {
        let lines = Self.history.jsonLines().split(separator: "\n")
        #expect(lines.count == Self.history.records.count)
        for (line, record) in zip(lines, Self.history.records) {
            let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
            #expect(object?["kind"] as? String == record.kind.rawValue)
            #expect(object?["detail"] as? String == record.detail)
            #expect(object?["number"] as? Int == Int(record.number))
            #expect(object?["author"] as? String == record.author)
            #expect(object?["time"] as? String == record.time.rfc3339)
        }
    }

    // MARK: Diagrams

    private struct Drawn: Saga {
        static let name = "trip \"7\""
        struct State: Codable, Sendable { var big = false }
        private static let nothing: @Sendable (State, StepContext) async throws -> Void = { _, _ in }
        var steps: [Step<State>] {
            Step("request", Self.nothing, compensate: Self.nothing)
            Parallel {
                Step("driver", Self.nothing, compensate: Self.nothing)
                Step("route", Self.nothing)
            }
            When {
                $0.big
            } then: {
                Step("approve", Self.nothing, compensate: Self.nothing)
            } otherwise: {
                Sleep("pause", for: .seconds(1))
            }
            Wait("confirmed", for: Paid.self, by: { $0.number }, within: .seconds(1))
            Step(pivot: "pay", Self.nothing)
            Step(retriable: "receipt", Self.nothing)
        }
    }

    @Test("63: Diagrams are as in the golden files", arguments: ["mmd", "dot"])
    func diagramsAreGolden(kind: String) throws {
        let diagram = try SagaDiagram(Drawn())
        try checkGolden(kind == "mmd" ? diagram.mermaid() : diagram.dot(), "Sagas/diagram.\(kind)")
    }
}
