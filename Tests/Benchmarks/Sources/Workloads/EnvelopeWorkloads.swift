// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// What envelopes and what goes with them cost by themselves.
enum EnvelopeWorkloads {
    static let copy = Workload("a copy of an envelope") { count in
        let envelope = Samples.fullEnvelope()
        return {
            var copies: [Envelope<Bytes>] = []
            copies.reserveCapacity(16)
            for index in 0..<count {
                if index % 16 == 0 { copies.removeAll(keepingCapacity: true) }
                copies.append(envelope)
            }
            sink(copies)
        }
    }

    static let changedCopy = Workload("a copy of an envelope with one attribute changed") { count in
        let envelope = Samples.fullEnvelope()
        return {
            for _ in 0..<count {
                var copy = envelope
                copy.attributes.topic = "shop.elsewhere"
                sink(copy)
            }
        }
    }

    static let context = Workload("a message context set for a task and read") { count in
        let attributes = Samples.fullEnvelope().attributes
        return {
            for _ in 0..<count {
                let context = MessageContext(attributes: attributes, consumer: "payments")
                let attempt = MessageContext.$current.withValue(context) { MessageContext.current?.attempt }
                sink(attempt)
            }
        }
    }

    static let unheardEvent = Workload("an event with nobody listening") { count in
        let attributes = Samples.fullEnvelope().attributes
        return {
            for _ in 0..<count {
                Runtime.current.instrument?.record(MessagePublished(attributes))
            }
        }
    }

    static let heardEvent = Workload("an event with a listener that does nothing") { count in
        let attributes = Samples.fullEnvelope().attributes
        let runtime = Runtime(instrument: DeafInstrument())
        return {
            Runtime.$current.withValue(runtime) {
                for _ in 0..<count {
                    Runtime.current.instrument?.record(MessagePublished(attributes))
                }
            }
        }
    }
}

private struct DeafInstrument: Instrument {
    func record<E: InstrumentEvent>(_ event: E) {
        sink(event)
    }
}
