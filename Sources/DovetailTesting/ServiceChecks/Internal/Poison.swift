// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// Something that a service is given and cannot handle.
struct Poison: Sendable {
    enum Content: Sendable {
        case envelope(Envelope<Bytes>)
        case bytes(Bytes)
    }

    let kind: PoisonCheck.Kind
    /// The message that it takes after.
    let type: MessageType
    let topic: Topic
    let content: Content
    /// Under which reasons it may be kept; empty if it need not be kept.
    let reasons: [DeadLetterReason]

    private static let idPrefix = "dovetail.poison."
    /// What no keyed message reads: a list of lists.
    private static let lists = Bytes("[[[]]]".utf8)
    private static let hugeBytes = 1 << 20
    private static let deepLevels = 100_000

    var id: MessageID? {
        if case .envelope(let envelope) = content { envelope.id } else { nil }
    }

    var payload: Bytes {
        switch content {
        case .envelope(let envelope): envelope.payload
        case .bytes(let bytes): bytes
        }
    }

    static func isPoison(_ attributes: EnvelopeAttributes) -> Bool {
        attributes.id.rawValue.hasPrefix(idPrefix)
    }

    func deliver(on bus: InMemoryTransport) async throws {
        switch content {
        case .envelope(let envelope):
            if let error = try await bus.publish([envelope]).first?.error { throw error }
        case .bytes(let bytes): bus.inject(bytes, into: topic)
        }
    }

    // MARK: Making

    /// Poison of a kind that takes after a message.
    ///
    /// - Returns: `nil` if there is none of this kind for the message.
    static func make(_ kind: PoisonCheck.Kind, after sample: Envelope<Bytes>) -> Poison? {
        let attributes = sample.attributes
        var envelope = sample
        envelope.attributes.id = MessageID("\(idPrefix)\(kind.rawValue)")
        // A key of its own: what is to wait behind a dead letter of its key waits by design.
        envelope.attributes.partitionKey = attributes.partitionKey.map { _ in PartitionKey("\(idPrefix)key") }
        // What stands for a payload that is kept elsewhere would bring that one back.
        envelope.attributes.extensions = [:]
        var reasons = [DeadLetterReason.schemaMismatch]
        switch kind {
        case .garbage:
            return Poison(
                kind: kind, type: attributes.type, topic: attributes.topic,
                content: .bytes([0x00, 0xFF, 0xFE, 0x7B, 0x22, 0x80]), reasons: reasons)
        case .garbledPayload: envelope.payload = [0xFF, 0x00, 0xC3, 0x28, 0x22]
        case .emptyPayload: envelope.payload = []
        case .wrongShape:
            // A message without fields is read from any JSON.
            guard fields(of: sample.payload)?.isEmpty == false else { return nil }
            envelope.payload = lists
        case .wrongTypes:
            guard let names = fields(of: sample.payload), !names.isEmpty else { return nil }
            envelope.payload = object(of: names, each: lists)
        case .hugePayload:
            envelope.payload = [UInt8(ascii: "\"")] + Bytes(repeating: UInt8(ascii: "x"), count: hugeBytes)
        case .deepPayload: envelope.payload = Bytes(repeating: UInt8(ascii: "["), count: deepLevels)
        case .futureVersion:
            envelope.attributes.version = MessageVersion(major: attributes.version.major + 1000)
            reasons = [.unroutable]
        case .oldVersion:
            guard attributes.version.major > 0 else { return nil }
            envelope.attributes.version = MessageVersion(major: attributes.version.major - 1)
            // Where a route lifts the older version, it must not lift this.
            envelope.payload = lists
            reasons = [.unroutable, .schemaMismatch]
        case .expired:
            envelope.attributes.expiry = .epoch
            reasons = [.expired]
        case .unknownType:
            envelope.attributes.type = "dovetail.poison.unknown"
            reasons = []
        }
        return Poison(
            kind: kind, type: attributes.type, topic: attributes.topic, content: .envelope(envelope), reasons: reasons)
    }

    /// The names of the fields of a JSON object; `nil` for other bytes.
    private static func fields(of payload: Bytes) -> [String]? {
        var scanner = JSONScanner(payload)
        var names: [String] = []
        do {
            var object = try scanner.beginObject()
            while let (key, _) = try scanner.nextMember(&object) { names.append(key) }
            return names
        } catch {
            return nil
        }
    }

    private static func object(of names: [String], each value: Bytes) -> Bytes {
        var bytes = Bytes("{".utf8)
        var isFirst = true
        for name in names {
            JSONWriter.appendKey(name, isFirst: &isFirst, to: &bytes)
            bytes += value
        }
        return bytes + Bytes("}".utf8)
    }
}
