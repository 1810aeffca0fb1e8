// SPDX-License-Identifier: Apache-2.0

/// What a dead letter that travels as a message has in its headers, beside those of the message itself.
///
/// - `Dovetail-Letter-ID`: the identity of the letter.
/// - `Dovetail-Letter-Topic`, `Dovetail-Letter-Position`: where the message was read.
/// - `Dovetail-Letter-Consumer`, `Dovetail-Letter-Attempts`: who gave up, and after how many attempts.
/// - `Dovetail-Letter-Reason`, `Dovetail-Letter-Time`: why, and when.
/// - `Dovetail-Letter-Error`, `Dovetail-Letter-Place`, `Dovetail-Letter-Text`: the failure, with no more text than may travel.
///
/// None is one of those with which a message is redriven. A message that becomes a letter for the second time has those of the second
/// time only.
enum DeadLetterHeaders {
    static let undecodableType: MessageType = "dovetail.undecodable"

    private static let letter = "Dovetail-Letter-ID"
    private static let topic = "Dovetail-Letter-Topic"
    private static let position = "Dovetail-Letter-Position"
    private static let consumer = "Dovetail-Letter-Consumer"
    private static let attempts = "Dovetail-Letter-Attempts"
    private static let reason = "Dovetail-Letter-Reason"
    private static let time = "Dovetail-Letter-Time"
    private static let error = "Dovetail-Letter-Error"
    private static let place = "Dovetail-Letter-Place"
    private static let text = "Dovetail-Letter-Text"

    private static let all = [letter, topic, position, consumer, attempts, reason, time, error, place, text]
    /// What the headers of bytes that were no message begin with, since their names may be any.
    private static let foreign = "Dovetail-Letter-Header-"

    // MARK: Writing

    /// Makes the message by which a letter travels.
    ///
    /// - Parameters:
    ///   - letter: The letter.
    ///   - topic: Where it goes.
    ///   - mostHeaderBytes: The most bytes of headers that the transport takes. What a person reads is left out before a message
    ///     that was small enough becomes too large by it.
    ///   - runtime: Whose redactor the text of the failure passes.
    /// - Returns: The message.
    static func envelope(
        of letter: DeadLetter, to topic: Topic, mostHeaderBytes: Int?, redactedBy runtime: Runtime
    ) -> Envelope<Bytes> {
        var envelope: Envelope<Bytes>
        switch letter.content {
        case .envelope(let message): envelope = message
        case .undecodable(let bytes, let headers, _):
            var attributes = EnvelopeAttributes(
                id: MessageID(letter.id), source: "/dovetail/dead-letters", type: undecodableType)
            attributes.contentType = "application/octet-stream"
            attributes.headers = Headers(headers.map { Headers.Element(name: foreign + $0.name, value: $0.value) })
            envelope = Envelope(attributes, payload: bytes)
        }
        let type = letter.envelope?.attributes.type
        let failure = FailureDetail(
            type: letter.failure.type, place: letter.failure.place,
            message: RedriveHeaders.line(runtime.redacted(letter.failure.message, of: type))
        ).inFlight
        var headers = envelope.attributes.headers
        for name in all { headers[name] = nil }
        headers[Self.letter] = letter.id
        headers[Self.topic] = letter.topic.rawValue
        headers[position] = letter.position
        headers[consumer] = letter.consumer
        headers[attempts] = String(letter.attempts)
        headers[reason] = letter.reason.rawValue
        headers[time] = letter.time.rfc3339
        headers[error] = failure.type
        headers[place] = failure.place
        // Half of it may be needed for what the envelope has beside its headers.
        let size = headers.byteCount + text.utf8.count + failure.message.utf8.count
        if mostHeaderBytes.map({ size <= $0 / 2 }) ?? true { headers[text] = failure.message }
        envelope.attributes.headers = headers
        envelope.attributes.topic = topic
        return envelope
    }

    // MARK: Reading

    static func letter(of envelope: Envelope<Bytes>) -> DeadLetter? {
        let headers = envelope.attributes.headers
        guard let id = headers[letter], let source = headers[topic], let consumer = headers[consumer],
            let reason = headers[reason]
        else { return nil }
        let failure = FailureDetail(
            type: headers[error] ?? "", place: headers[place] ?? "", message: headers[text] ?? "")
        return DeadLetter(
            id: id, content: content(of: envelope, from: Topic(source), failure), topic: Topic(source),
            position: headers[position] ?? "", consumer: consumer,
            attempts: headers[attempts].flatMap { Int($0) } ?? 0, reason: DeadLetterReason(reason), failure: failure,
            time: headers[time].flatMap { Timestamp(rfc3339: $0) } ?? .epoch)
    }

    private static func content(
        of envelope: Envelope<Bytes>, from source: Topic, _ failure: FailureDetail
    ) -> Delivery.Content {
        if envelope.attributes.type == undecodableType {
            let headers = envelope.attributes.headers.filter { $0.name.hasPrefix(foreign) }.map {
                Headers.Element(name: String($0.name.dropFirst(foreign.count)), value: $0.value)
            }
            return .undecodable(
                envelope.payload, headers: Headers(headers), MessageError(.undecodablePayload, failure.message))
        }
        var message = envelope
        for name in all { message.attributes.headers[name] = nil }
        message.attributes.topic = source
        return .envelope(message)
    }
}
