// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import Dovetail
    import Testing

    @testable import DovetailKafka

    /// Publishing to a cluster within the process, which fails as it is told.
    @Suite(.serialized, .timeLimit(.minutes(10)))
    struct KafkaPublishTests {
        private func codes(_ results: [PublishResult]) -> [String] {
            results.map { $0.error?.code.description ?? "published" }
        }

        /// How many messages the topic has.
        private func stored(_ transport: KafkaTransport, in topic: Topic = "t") async throws -> Int {
            try await transport.lag(of: "nobody", in: [topic])[topic] ?? -1
        }

        @Test(
            "What follows a message that the broker refuses is not sent, and the order is kept when all are published again"
        )
        func orderUnderFailure() async throws {
            let cluster = try MockCluster()
            let transport = try cluster.connect()
            let envelopes = (0..<20).map { envelope("\($0)", key: "a") }
            cluster.fail(MockCluster.produce, with: [RD_KAFKA_RESP_ERR_INVALID_RECORD])
            let results = try await transport.publish(envelopes)
            #expect(codes(results) == ["invalidMessage"] + Array(repeating: "notAttempted", count: 19))
            #expect(try await stored(transport) == 0)
            let again = try await transport.publish(envelopes)
            #expect(codes(again) == Array(repeating: "published", count: 20), "\(again)")
            #expect(try await stored(transport) == 20)
            await transport.close()
        }

        @Test("A message that fails in the middle leaves those before it stored, and none behind it")
        func failureInTheMiddle() async throws {
            let cluster = try MockCluster()
            let transport = try cluster.connect()
            let envelopes = (0..<6).map { envelope("\($0)", key: "a") }
            cluster.fail(
                MockCluster.produce,
                with: [
                    RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_NO_ERROR, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
                ])
            let results = try await transport.publish(envelopes)
            #expect(
                codes(results)
                    == ["published", "published", "messageTooLarge", "notAttempted", "notAttempted", "notAttempted"])
            #expect(try await stored(transport) == 2)
            await transport.close()
        }

        @Test("Messages of topics that take turns in one call go each to its own")
        func topicsTakeTurns() async throws {
            let cluster = try MockCluster(topics: ["t": 1, "u": 1])
            let transport = try cluster.connect()
            let topics: [Topic] = ["t", "u", "t", "t", "u", "t", "u", "t"]
            let results = try await transport.publish(topics.enumerated().map { envelope("\($0)", topic: $1) })
            #expect(codes(results) == topics.map { _ in "published" })
            #expect(try await stored(transport, in: "t") == 5)
            #expect(try await stored(transport, in: "u") == 3)
            await transport.close()
        }

        @Test("What passes by itself is tried again, and stored once")
        func passingTroubleIsGotOver() async throws {
            let cluster = try MockCluster()
            let transport = try cluster.connect()
            cluster.fail(
                MockCluster.produce,
                with: [RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT])
            let results = try await transport.publish((0..<3).map { envelope("\($0)", key: "a") })
            #expect(codes(results) == ["published", "published", "published"])
            #expect(try await stored(transport) == 3)
            await transport.close()
        }

        @Test("A refusal after an attempt that was not answered is no proof that the message is not there")
        func refusedAfterUnanswered() async throws {
            let cluster = try MockCluster()
            let transport = try cluster.connect()
            cluster.fail(
                MockCluster.produce, with: [RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, RD_KAFKA_RESP_ERR_INVALID_RECORD])
            let results = try await transport.publish([envelope("1", key: "a")])
            #expect(codes(results) == ["unavailable"])
            #expect((results.first?.error?.cause as? TransportError)?.code == .invalidMessage)
            let again = try await transport.publish([envelope("1", key: "a")])
            #expect(codes(again) == ["published"], "\(again)")
            await transport.close()
        }

        @Test(
            "What is certainly not there fails as the broker says; what may be there as something to try again",
            arguments: [
                (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, TransportError.Code.refused),
                (RD_KAFKA_RESP_ERR__SSL, .refused), (RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, .unknownTopic),
                (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, .messageTooLarge),
                (RD_KAFKA_RESP_ERR_INVALID_RECORD, .invalidMessage),
            ])
        func unclear(code: rd_kafka_resp_err_t, expected: TransportError.Code) {
            func error(_ status: rd_kafka_msg_status_t) -> TransportError {
                .unpublished(code, of: "The message '7'", status, trouble: nil)
            }
            #expect(error(RD_KAFKA_MSG_STATUS_NOT_PERSISTED).code == expected)
            #expect(error(RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED).code == .unavailable)
            #expect(error(RD_KAFKA_MSG_STATUS_POSSIBLY_PERSISTED).message.contains("The message '7'"))
        }

        @Test("A broker that is gone is waited for as long as publishing may take, and no longer")
        func brokerIsGone() async throws {
            let cluster = try MockCluster()
            let transport = try cluster.connect(
                publishTimeout: .seconds(1), options: ["reconnect.backoff.max.ms": "100"])
            // It is up to librdkafka when to connect, and a busy machine may take longer than a try.
            func publishAtLast(_ id: String) async throws -> [PublishResult] {
                var results: [PublishResult] = []
                for _ in 0..<15 where results.first?.error != nil || results.isEmpty {
                    results = try await transport.publish([envelope(id, key: "a")])
                }
                return results
            }
            #expect(codes(try await publishAtLast("0")) == ["published"])
            cluster.setDown(true)
            let results = try await transport.publish([envelope("1", key: "a"), envelope("2", key: "a"), envelope("3")])
            #expect(codes(results) == ["timedOut", "notAttempted", "timedOut"])
            #expect(results[0].error?.code.isTransient == true)
            cluster.setDown(false)
            let again = try await publishAtLast("1")
            #expect(codes(again) == ["published"], "\(again)")
            await transport.close()
        }

        @Test("A client that failed for good is replaced, and nobody is told to give up")
        func failedClientIsReplaced() async throws {
            let cluster = try MockCluster()
            let transport = try cluster.connect()
            #expect(codes(try await transport.publish([envelope("0")])) == ["published"])
            try transport.failProducer()
            let results = try await transport.publish([envelope("1")])
            if let error = results[0].error { #expect(error.code.isTransient) }
            let again = try await transport.publish([envelope("1")])
            #expect(codes(again) == ["published"], "\(again)")
            await transport.close()
        }

        @Test("More messages than there is room for wait for room")
        func waitsForRoom() async throws {
            let cluster = try MockCluster(topics: ["t": 4])
            let transport = try cluster.connect(options: ["queue.buffering.max.messages": "5"])
            let envelopes = (0..<500).map { envelope("\($0)", key: $0 % 2 == 0 ? nil : PartitionKey("\($0 % 50)")) }
            async let others = transport.publish((500..<700).map { envelope("\($0)") })
            let results = try await transport.publish(envelopes) + others
            #expect(results.allSatisfy { $0.error == nil })
            #expect(try await stored(transport) == 700)
            await transport.close()
        }

        @Test(
            "Publishing that is cancelled throws at once, before it has begun and while it waits",
            arguments: [.zero, .milliseconds(300)] as [Duration])
        func cancelled(after time: Duration) async throws {
            let cluster = try MockCluster()
            let transport = try cluster.connect(publishTimeout: .seconds(60), closeTimeout: .milliseconds(100))
            _ = try await transport.publish([envelope("0")])
            cluster.setDown(true)
            let started = ContinuousClock.now
            let task = Task { try await transport.publish((0..<3).map { envelope("\($0)", key: "a") }) }
            if time > .zero { try await SystemTime().sleep(for: time) }
            task.cancel()
            await #expect(throws: CancellationError.self) { try await task.value }
            #expect(ContinuousClock.now - started < .seconds(10))
            await transport.close()
        }

        @Test("Closing ends what is under way when its time is over, and publishes nothing more")
        func closing() async throws {
            let cluster = try MockCluster()
            let transport = try cluster.connect(publishTimeout: .seconds(60), closeTimeout: .milliseconds(300))
            _ = try await transport.publish([envelope("0")])
            cluster.setDown(true)
            async let results = transport.publish([envelope("1", key: "a"), envelope("2", key: "a"), envelope("3")])
            // Whichever comes first: it ends, and tells so.
            try await SystemTime().sleep(for: .milliseconds(50))
            await transport.close()
            #expect(codes(try await results) == ["closed", "notAttempted", "closed"])
            let error = await #expect(throws: TransportError.self) { try await transport.publish([envelope("4")]) }
            #expect(error?.code == .closed)
            let refused = await #expect(throws: TransportError.self) {
                try await transport.subscribe(to: ["t"], as: "g")
            }
            #expect(refused?.code == .closed)
            await transport.close()
        }

        @Test("Closing lets what is under way arrive")
        func closingFlushes() async throws {
            let cluster = try MockCluster(topics: ["t": 4])
            let transport = try cluster.connect()
            _ = try await transport.publish([envelope("0")])
            async let results = transport.publish((1..<200).map { envelope("\($0)") })
            await transport.close()
            let published = (try? await results)?.filter { $0.error == nil }.count ?? 0
            let reader = try cluster.connect()
            #expect(try await stored(reader) == published + 1)
            await reader.close()
        }

        @Test("A transport that nobody holds any more lets go of its client")
        func droppedTransportEnds() async throws {
            let cluster = try MockCluster()
            weak var reports: KafkaReports?
            do {
                let transport = try cluster.connect(closeTimeout: .milliseconds(100))
                _ = try await transport.publish([envelope("0")])
                reports = try transport.producerReports()
                #expect(reports != nil)
            }
            let deadline = ContinuousClock.now + .seconds(20)
            while reports != nil, ContinuousClock.now < deadline {
                try await SystemTime().sleep(for: .milliseconds(20))
            }
            #expect(reports == nil)
        }

        @Test("A message of exactly the most bytes is published, and a larger one is refused before it is sent")
        func mostBytes() async throws {
            let cluster = try MockCluster()
            let transport = try cluster.connect()
            var largest = envelope("0", key: "a")
            let attributes = try OutgoingRecord(largest, to: "t").byteCount - largest.payload.count
            largest.payload = Bytes(repeating: 1, count: (transport.capabilities.mostMessageBytes ?? 0) - attributes)
            #expect(codes(try await transport.publish([largest])) == ["published"])
            largest.payload.append(1)
            #expect(
                codes(try await transport.publish([largest, envelope("1", key: "a"), envelope("2")]))
                    == ["messageTooLarge", "notAttempted", "published"])
            await transport.close()
        }

        @Test("Trouble is told to the instrument")
        func troubleIsTold() async throws {
            let log = EventLog()
            let cluster = try MockCluster()
            let transport = try cluster.connect(publishTimeout: .seconds(1), runtime: Runtime(instrument: log))
            _ = try await transport.publish([envelope("0")])
            cluster.setDown(true)
            _ = try await transport.publish([envelope("1")])
            #expect(!log.all(KafkaTroubled.self).isEmpty)
            #expect(log.all(KafkaTroubled.self).allSatisfy { $0.group == nil && $0.code.hasPrefix("_") })
            await transport.close()
        }
    }
#endif
