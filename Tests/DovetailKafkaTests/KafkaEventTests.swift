// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import CKafka
    import Dovetail
    import DovetailTesting
    import Testing

    @testable import DovetailKafka

    /// What librdkafka tells by callbacks, on a cluster within the process.
    @Suite(.serialized, .timeLimit(.minutes(10)))
    struct KafkaEventTests {
        private let run = KafkaRun()

        /// Waits until an event of a kind was heard that a test looks for.
        private func wait<E: InstrumentEvent>(
            for _: E.Type, in log: EventLog, until isFound: (E) -> Bool
        ) async throws -> E? {
            let deadline = ContinuousClock.now + .seconds(60)
            while ContinuousClock.now < deadline {
                if let found = log.all(E.self).first(where: isFound) { return found }
                try await run.time.sleep(for: .milliseconds(20))
            }
            return nil
        }

        @Test("Both sides measure themselves as often as they are told, and not unless they are told")
        func measured() async throws {
            let cluster = try MockCluster(topics: [run.topic.rawValue: 1])
            let (log, silent) = (EventLog(), EventLog())
            let transport = try cluster.connect(
                statisticsInterval: .milliseconds(50), runtime: Runtime(instrument: log))
            let other = try cluster.connect(runtime: Runtime(instrument: silent))
            try await run.publish(run.messages(0..<10), to: transport)
            try await run.publish(run.messages(10..<11), to: other)
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            let deliveries = try await run.receive(11, from: member)
            try await member.settle(deliveries.map { .acknowledge($0.id) })
            let sent = try await wait(for: KafkaMeasured.self, in: log) {
                $0.group == nil && $0.measurement.sentMessages == 10 && $0.duration != nil
            }
            #expect(sent?.measurement.brokers.contains { $0.state == "UP" } == true)
            let received = try await wait(for: KafkaMeasured.self, in: log) {
                $0.group == run.group && $0.measurement.receivedMessages >= 11 && $0.measurement.lag == 0
            }
            #expect(received != nil)
            await member.close()
            await transport.close()
            await other.close()
            #expect(silent.all(KafkaMeasured.self).isEmpty)
        }

        @Test("Trouble with a broker is told by both sides")
        func troubled() async throws {
            let cluster = try MockCluster(topics: [run.topic.rawValue: 1])
            let log = EventLog()
            let transport = try cluster.connect(runtime: Runtime(instrument: log))
            try await run.publish(run.messages(0..<1), to: transport)
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            _ = try await run.receive(1, from: member)
            cluster.setDown(true)
            let ofMember = try await wait(for: KafkaTroubled.self, in: log) { $0.group == run.group }
            let ofPublisher = try await wait(for: KafkaTroubled.self, in: log) { $0.group == nil }
            #expect(ofMember != nil)
            #expect(ofPublisher != nil)
            cluster.setDown(false)
            await member.close()
            await transport.close()
        }

        @Test("What a broker says about quotas is told, with the group and the time")
        func throttled() throws {
            let reports = KafkaReports(redactedBy: SecurityOptions([:]))
            let opaque = Unmanaged.passUnretained(reports).toOpaque()
            KafkaReports.throttled(nil, "broker:9092/1", 1, 250, opaque)
            KafkaReports.throttled(nil, nil, 1, -1, opaque)
            let log = EventLog()
            for report in reports.take() { report.tell(log, group: "g") }
            let events = log.all(KafkaThrottled.self)
            #expect(events.map(\.broker) == ["broker:9092/1", ""])
            #expect(events.map(\.group) == ["g", "g"])
            #expect(events.first?.duration == .milliseconds(250))
        }

        @Test("Statistics that cannot be read are trouble, and nothing traps")
        func unreadable() throws {
            let reports = KafkaReports(redactedBy: SecurityOptions([:]))
            let opaque = Unmanaged.passUnretained(reports).toOpaque()
            #expect(KafkaReports.measured(nil, nil, 0, opaque) == 0)
            let log = EventLog()
            for report in reports.take() { report.tell(log, group: nil) }
            #expect(log.all(KafkaTroubled.self).map(\.code) == ["_BAD_MSG"])
        }

        @Test("Trouble that quotes a secret does not show it")
        func secrets() {
            let reports = KafkaReports(redactedBy: SecurityOptions(["sasl.password": "s3cret"]))
            reports.add(.trouble(RD_KAFKA_RESP_ERR__AUTHENTICATION, "u:s3cret was refused"))
            let log = EventLog()
            for report in reports.take() { report.tell(log, group: nil) }
            #expect(log.all(KafkaTroubled.self).map(\.message) == ["u:… was refused"])
            #expect(reports.lastTrouble?.1 == "u:… was refused")
        }
    }
#endif
