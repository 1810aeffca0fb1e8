// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import Testing

/// Random envelopes and random damage, the same on every run.
@Suite struct CloudEventsRoundTripTests {
    private let json = CloudEventsJSONFormat()

    /// What the JSON format gives back: data that says nothing of its type is JSON if it can be, and a trace context of a
    /// later version is written in the one that is spoken here, as W3C Trace Context has it.
    private func expected(_ envelope: Envelope<Bytes>, fromJSON bytes: Bytes) -> Envelope<Bytes> {
        var expected = envelope
        if let trace = envelope.trace, let parent = TraceParent(trace.traceParent.text) {
            expected.trace = TraceContext(traceParent: parent, traceState: trace.traceState)
        }
        let isSpliced = String(decoding: bytes, as: UTF8.self).contains(#","data":"#)
        if envelope.contentType == nil, !envelope.payload.isEmpty, isSpliced {
            expected.contentType = "application/json"
        }
        return expected
    }

    @Test("Any envelope comes back from JSON", arguments: 0..<4 as Range<UInt64>)
    func structured(seed: UInt64) throws {
        var envelopes = RandomEnvelopes(seed: seed)
        for _ in 0..<250 {
            let envelope = envelopes.next()
            let bytes = try json.encode(envelope)
            let copy = try json.decode(bytes)
            let expected = expected(envelope, fromJSON: bytes)
            let isSame = copy == expected && copy.exactTexts == expected.exactTexts
            #expect(isSame, "\(String(decoding: bytes.prefix(500), as: UTF8.self))")
        }
    }

    @Test(
        "Any envelope comes back from headers",
        arguments: [CloudEventsHeaderNaming.kafka, .http, .amqp], 0..<2 as Range<UInt64>)
    func binary(naming: CloudEventsHeaderNaming, seed: UInt64) throws {
        let format = CloudEventsBinaryFormat(naming)
        var envelopes = RandomEnvelopes(seed: seed)
        for _ in 0..<250 {
            var envelope = envelopes.next()
            let (headers, payload) = try format.encode(envelope)
            let copy = try format.decode(headers: headers, payload: payload)
            envelope.extensions = envelope.extensions.mapValues { .string($0.text) }
            let isSame = copy == envelope && copy.exactTexts == envelope.exactTexts
            #expect(isSame, "\(headers.map(\.name))")
            if naming.isHTTP {
                #expect(headers.allSatisfy { $0.value.utf8.allSatisfy { (0x20...0x7e).contains($0) } })
            }
        }
    }

    @Test("A batch comes back as it went")
    func batches() throws {
        var envelopes = RandomEnvelopes(seed: 99)
        for count in 0..<20 {
            let batch = (0..<count).map { _ in
                var envelope = envelopes.next()
                envelope.contentType = envelope.contentType ?? "text/plain"
                return envelope
            }
            #expect(try json.decodeBatch(json.encodeBatch(batch)) == batch)
        }
    }

    /// Reads bytes that may be anything: an error of ours, or an envelope that goes on unharmed.
    private func readAnything(_ bytes: Bytes) -> Bool {
        do {
            let envelope = try json.decode(bytes)
            let written = try json.encode(envelope)
            let isStable = try json.decode(written) == expected(envelope, fromJSON: written)
            #expect(isStable, "\(String(decoding: bytes.prefix(1500), as: UTF8.self))")
            return true
        } catch {
            #expect(error.code == .invalidCloudEvent)
            return false
        }
    }

    @Test("An event that ends too early is an error at every place", .timeLimit(.minutes(10)))
    func truncated() throws {
        var envelopes = RandomEnvelopes(seed: 5)
        for _ in 0..<4 {
            var envelope = envelopes.next()
            envelope.payload = Array(envelope.payload.prefix(40))
            let bytes = try json.encode(envelope)
            for length in stride(from: 0, to: bytes.count, by: bytes.count > 1000 ? 97 : 1) {
                #expect(!readAnything(Array(bytes[..<length])))
            }
        }
    }

    @Test("Damaged bytes give an envelope or an error", .timeLimit(.minutes(10)), arguments: 0..<4 as Range<UInt64>)
    func damaged(seed: UInt64) throws {
        var envelopes = RandomEnvelopes(seed: 1000 + seed)
        var (read, refused) = (0, 0)
        var bytes = Bytes()
        for round in 0..<1000 {
            if round % 20 == 0 {
                repeat { bytes = try json.encode(envelopes.next()) } while bytes.count > 800
            }
            var damaged = bytes
            for _ in 0..<Int.random(in: 1...3, using: &envelopes.random) { damage(&damaged, &envelopes.random) }
            if readAnything(damaged) { read += 1 } else { refused += 1 }
        }
        // Both must happen, else the damage is too small or too great to show anything.
        #expect(read > 50 && refused > 500)
    }

    private func damage(_ bytes: inout Bytes, _ random: inout RandomSourceGenerator) {
        guard !bytes.isEmpty else { return }
        let position = Int.random(in: bytes.indices, using: &random)
        let signs = Array(#"{}[]":,\u0 null1e-+."#.utf8)
        switch Int.random(in: 0..<6, using: &random) {
        case 0: bytes[position] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes[position] = signs.randomElement(using: &random) ?? 0
        case 2: bytes.remove(at: position)
        case 3: bytes.insert(signs.randomElement(using: &random) ?? 0, at: position)
        case 4: bytes[position] ^= 1 << UInt8.random(in: 0..<8, using: &random)
        default:
            let end = min(bytes.count, position + Int.random(in: 1..<40, using: &random))
            bytes.insert(contentsOf: bytes[position..<end], at: Int.random(in: bytes.indices, using: &random))
        }
    }

    @Test(
        "Damaged headers give an envelope or an error", .timeLimit(.minutes(10)),
        arguments: [CloudEventsHeaderNaming.kafka, .http, .amqp])
    func damagedHeaders(naming: CloudEventsHeaderNaming) throws {
        let format = CloudEventsBinaryFormat(naming)
        var envelopes = RandomEnvelopes(seed: 77)
        var (read, refused) = (0, 0)
        for _ in 0..<1500 {
            var (headers, payload) = try format.encode(envelopes.next())
            for _ in 0..<Int.random(in: 1...3, using: &envelopes.random) where !headers.isEmpty {
                let position = Int.random(in: headers.indices, using: &envelopes.random)
                switch Int.random(in: 0..<5, using: &envelopes.random) {
                case 0: headers.remove(at: position)
                case 1: headers.append(headers[position])
                case 2: headers[position].value = envelopes.text()
                case 3: headers[position].value.append(envelopes.text())
                default:
                    var name = Array(headers[position].name.utf8)
                    damage(&name, &envelopes.random)
                    headers[position].name = String(decoding: name, as: UTF8.self)
                }
            }
            do {
                let envelope = try format.decode(headers: headers, payload: payload)
                let (again, same) = try format.encode(envelope)
                let isStable = try format.decode(headers: again, payload: same) == expected(envelope, fromJSON: [])
                #expect(isStable, "\(headers)")
                read += 1
            } catch {
                #expect(error.code == .invalidCloudEvent)
                refused += 1
            }
        }
        #expect(read > 100 && refused > 100)
    }
}
