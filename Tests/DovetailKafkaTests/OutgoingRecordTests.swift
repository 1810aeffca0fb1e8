// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import Dovetail
    import Testing

    @testable import DovetailKafka

    @Suite
    struct OutgoingRecordTests {
        private static func headers(of record: OutgoingRecord) -> [KafkaRecord.Header] {
            var result: [KafkaRecord.Header] = []
            // Taken over by nobody, so they can be looked at again.
            _ = record.handOver { list in
                result = list.map { KafkaWriter.headers(in: $0) } ?? []
                return RD_KAFKA_RESP_ERR__QUEUE_FULL
            }
            return result
        }

        private static func envelopes() -> [Envelope<Bytes>] {
            var full = envelope("7", key: "schlüssel", payload: Bytes("payload".utf8))
            full.subject = "order 7"
            full.contentType = "application/json"
            full.time = Timestamp(secondsSinceEpoch: 1_700_000_000, nanoseconds: 123_000_000)
            full.trace = TraceContext(
                traceParent: TraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")!)
            full.correlationID = "c"
            full.causationID = "b"
            full.tenant = "acme"
            full.version = MessageVersion(major: 2, minor: 1)
            full.headers = ["greeting": "こんにちは", "empty": ""]
            full.extensions = ["region": "eu", "empty": "", "count": .integer(5)]
            return [envelope("1"), envelope("2", payload: []), envelope("", key: "x"), full]
        }

        @Test("What goes out is what the Kafka binding has a reader expect", arguments: 0..<4)
        func isTheBinding(index: Int) throws {
            let envelope = Self.envelopes()[index]
            guard let expected = try? KafkaRecord(envelope) else {
                let error = #expect(throws: MessageError.self) { try OutgoingRecord(envelope, to: "t") }
                #expect(error?.code == .invalidEnvelope)
                return
            }
            for record in [try OutgoingRecord(envelope, to: "t"), OutgoingRecord(expected, to: "t")] {
                #expect(record.topic == "t" && record.key == expected.key && record.value == expected.value)
                #expect(Self.headers(of: record) == expected.headers)
                #expect(record.byteCount == expected.byteCount)
            }
        }

        @Test("Headers that a producer did not take are there for the next try, and gone once it took them")
        func handedOverOnce() throws {
            let record = try OutgoingRecord(envelope("1"), to: "t")
            #expect(record.handOver { _ in RD_KAFKA_RESP_ERR__QUEUE_FULL } == RD_KAFKA_RESP_ERR__QUEUE_FULL)
            #expect(Self.headers(of: record).contains { $0.name == "ce_id" && $0.value == "1" })
            _ = record.handOver { list in
                // As a producer does that took them.
                if let list { rd_kafka_headers_destroy(list) }
                return RD_KAFKA_RESP_ERR_NO_ERROR
            }
            #expect(Self.headers(of: record) == [])
        }

        @Test("A record without headers has none, and an empty header is not the same as none")
        func emptyHeaders() {
            func written(_ headers: [KafkaRecord.Header]) -> [KafkaRecord.Header] {
                Self.headers(of: OutgoingRecord(KafkaRecord(key: nil, value: nil, headers: headers), to: "t"))
            }
            #expect(written([]) == [])
            let empty = [KafkaRecord.Header(name: "a", value: "")]
            #expect(written(empty) == empty)
        }
    }
#endif
