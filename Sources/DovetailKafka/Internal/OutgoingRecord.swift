// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import DovetailCore

    /// A message as librdkafka is to take it.
    ///
    /// In binary mode the headers are written where librdkafka keeps them: as texts of our own first, they cost as much again as sending
    /// the message.
    struct OutgoingRecord: Sendable {
        let key: Bytes?
        /// `nil` is not the same as empty, see ``KafkaRecord/value``.
        let value: Bytes?
        let headers: KafkaHeaders

        /// What it takes up in memory and on the wire, roughly.
        var byteCount: Int { (key?.count ?? 0) + (value?.count ?? 0) + headers.byteCount }

        /// - Throws: ``MessageError`` if the envelope would not be a valid event.
        init(_ envelope: Envelope<Bytes>) throws(MessageError) {
            headers = try KafkaHeaders(of: envelope.attributes)
            key = KafkaRecord.key(of: envelope)
            value = envelope.payload
        }

        init(_ record: KafkaRecord) {
            headers = KafkaHeaders(record.headers)
            key = record.key
            value = record.value
        }
    }
#endif
