// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

@Suite struct InstrumentTests {
    private struct SweepError: Error {}

    /// Runs a part of the library that fails three times and tells of it.
    private func sweep(_ instrument: (any Instrument)?, _ redactor: NoDigits) async {
        let runtime = Runtime(
            time: StoppedTime(sleeps: 3), random: SeededRandom(seed: 1), instrument: instrument, redactor: redactor)
        let loop = SweepLoop(store: "inbox", period: .seconds(1), batchSize: 10, runtime: runtime)
        await loop.run { _ in throw SweepError() }
    }

    @Test("When nobody listens, no event is built and no text is made for it")
    func nothingIsBuilt() async {
        let (silent, heard) = (NoDigits(), NoDigits())
        await sweep(nil, silent)
        #expect(silent.asked.all.isEmpty)
        let names = Names()
        await sweep(names, heard)
        #expect(heard.asked.all.count == 3)
        #expect(names.kept.all == Array(repeating: "dovetail.store.sweep_failed", count: 3))
    }

    @Test("Details are made only for those who look at them")
    func detailsAreLazy() {
        let looks = Kept<Int>()
        let probe = Probe(onDetails: { looks.add(1) })
        MetricsInstrument().record(probe)
        Names().record(probe)
        #expect(looks.all.isEmpty)
        JSONLinesInstrument(runtime: Runtime()) { _ in }.record(probe)
        #expect(looks.all.count == 1)
    }

    @Test("A group tells all of its instruments, in order")
    func groups() {
        let order = Kept<String>()
        struct Named: Instrument {
            let name: String
            let order: Kept<String>

            func record<E: InstrumentEvent>(_ event: E) { order.add("\(name) \(E.name)") }
        }
        let group = InstrumentGroup(Named(name: "a", order: order), Named(name: "b", order: order))
        group.record(Probe())
        InstrumentGroup([group, Named(name: "c", order: order)]).record(Probe())
        let expected = ["a", "b", "a", "b", "c"].map { "\($0) probe.event" }
        #expect(order.all == expected)
        InstrumentGroup().record(Probe())
    }

    @Test("Every event of a message names it, its kind and its conversation, each once")
    func eventsNameTheirMessage() {
        var attributes = EnvelopeAttributes(id: "id-1", source: "/s", type: "shop.order.placed", topic: "orders")
        attributes.correlationID = "c-1"
        attributes.causationID = "b-1"
        attributes.tenant = "acme"
        attributes.partitionKey = "k"
        let letter = DeadLetter(
            id: "l", content: .envelope(Envelope(attributes, payload: [])), topic: "orders", position: "",
            consumer: "payments",
            attempts: 1, reason: .poison, failure: FailureDetail(type: "E", message: "m"), time: .earliest)

        func check<E: InstrumentEvent>(_ event: E, sourceLocation: SourceLocation = #_sourceLocation) {
            var seen: [(String, String)] = []
            event.visitDimensions { seen.append(($0.description, $1)) }
            let dimensions = Set(seen.map(\.0))
            event.visitDetails { seen.append(($0.description, $1)) }
            let names = seen.map(\.0)
            #expect(Set(names).count == names.count, sourceLocation: sourceLocation)
            let values = Dictionary(seen) { first, _ in first }
            #expect(values["messaging.destination.name"] == "orders", sourceLocation: sourceLocation)
            #expect(values["dovetail.message.type"] == "shop.order.placed", sourceLocation: sourceLocation)
            #expect(values["messaging.message.id"] == "id-1", sourceLocation: sourceLocation)
            #expect(values["messaging.message.conversation_id"] == "c-1", sourceLocation: sourceLocation)
            #expect(values["dovetail.message.causation_id"] == "b-1", sourceLocation: sourceLocation)
            #expect(values["dovetail.tenant"] == "acme", sourceLocation: sourceLocation)
            #expect(E.name.hasPrefix("dovetail."), sourceLocation: sourceLocation)
            // What has many values must not split a metric.
            #expect(!dimensions.contains("messaging.message.id"), sourceLocation: sourceLocation)
            #expect(!dimensions.contains("dovetail.tenant"), sourceLocation: sourceLocation)
        }
        check(MessagePublished(attributes))
        check(MessagePublishFailed(attributes, error: TransportError(.unavailable, "x")))
        check(MessageRelayed(attributes, lag: .seconds(1)))
        check(MessageReceived(attributes, consumer: "payments", attempt: 1))
        check(MessageHandled(attributes, consumer: "payments", elapsed: .seconds(1)))
        check(MessageRetried(attributes, consumer: "payments", attempt: 1, error: "x"))
        check(MessageDelayed(attributes, consumer: "payments", delay: .seconds(1), error: "x"))
        check(MessageSkipped(attributes, consumer: "payments", reason: "expired"))
        check(MessageParked(attributes, consumer: "payments"))
        check(MessageDeduplicated(attributes, consumer: "payments"))
        check(MessageDeadLettered(letter))
        check(OutboxParked(attributes, error: "x"))
        #expect(MessageRelayed(attributes, lag: .seconds(1)).duration == .seconds(1))
        #expect(MessageHandled(attributes, consumer: "p", elapsed: .seconds(2)).duration == .seconds(2))
        #expect(OutboxClaimed(7).count == 7)
    }
}
