// SPDX-License-Identifier: Apache-2.0

#if Kafka
    import Dovetail
    import Foundation
    import Testing

    @testable import DovetailKafka

    /// What a client of others reads of ours, and what we read of its.
    @Suite(.serialized, .disabled(if: Interop.isMissing, Interop.whyMissing), .timeLimit(.minutes(10)))
    struct KafkaInteropTests {
        private let run = KafkaRun()

        @Test("Another client reads the events that we publish, with key and headers as the binding has them")
        func othersReadOurs() async throws {
            let transport = try Broker.connect(partitions: 1)
            var full = envelope("1", key: "schlüssel", topic: run.topic, payload: Bytes(#"{"sku":"é"}"#.utf8))
            full.contentType = "application/json"
            full.subject = "заказ"
            full.time = Timestamp(rfc3339: "2026-03-01T09:30:00Z")
            full.headers = ["greeting": "こんにちは"]
            let plain = envelope("2", topic: run.topic, payload: [0xFF, 0x00])
            let empty = envelope("3", topic: run.topic, payload: [])
            try await run.publish([full, plain, empty], to: transport)
            let records = try Interop.read(run.topic, 3).map { try Record($0) }
            #expect(records.map(\.key) == ["schlüssel", nil, nil])
            #expect(records.map(\.value) == [#"{"sku":"é"}"#, "hex:ff00", ""])
            let headers = records[0].headers
            #expect(headers["ce_specversion"] == "1.0")
            #expect(headers["ce_id"] == "1")
            #expect(headers["ce_source"] == "/s")
            #expect(headers["ce_type"] == "x.y")
            #expect(headers["ce_subject"] == "заказ")
            #expect(headers["ce_time"] == "2026-03-01T09:30:00Z")
            #expect(headers["ce_partitionkey"] == "schlüssel")
            #expect(headers["content-type"] == "application/json")
            #expect(headers["ce_dovetailheaders"] == #"{"greeting":"こんにちは"}"#)
            await transport.close()
        }

        @Test("Another client reads whole events as JSON where that was asked for, and so do we")
        func structured() async throws {
            let transport = try Broker.connect(partitions: 1, contentMode: .structured)
            var full = envelope("1", key: "k", topic: run.topic, payload: Bytes(#"{"sku": "é"}"#.utf8))
            full.contentType = "application/json"
            try await run.publish([full], to: transport)
            let record = try #require(try Interop.read(run.topic, 1).map { try Record($0) }.first)
            #expect(record.key == "k")
            #expect(record.headers == ["content-type": "application/cloudevents+json"])
            let event = try #require(
                try JSONSerialization.jsonObject(with: Data((record.value ?? "").utf8)) as? [String: Any])
            #expect(event["id"] as? String == "1")
            #expect(event["specversion"] as? String == "1.0")
            #expect((event["data"] as? [String: String])?["sku"] == "é")
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            #expect(try await run.receive(1, from: member).first?.envelope == full)
            await member.close()
            await transport.close()
        }

        @Test("We read the events that another client publishes, in both modes, and keep what is none")
        func weReadOthers() async throws {
            let transport = try Broker.connect(partitions: 1)
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            let binary: [[String?]] = [
                ["ce_specversion", "1.0"], ["ce_id", "b"], ["ce_source", "/py"], ["ce_type", "x.y"],
                ["ce_region", "eu"],
                ["content-type", "text/plain"], ["X-Other", "kept"],
            ]
            try Interop.write(
                [
                    ["key": "k", "value": "hello", "headers": binary],
                    [
                        "key": NSNull(),
                        "value": #"{"specversion":"1.0","id":"s","source":"/py","type":"x.y","data":[1]}"#,
                        "headers": [["content-type", "application/cloudevents+json; charset=utf-8"]],
                    ],
                    ["key": "dead", "value": NSNull(), "headers": []],
                    ["key": NSNull(), "value": "hex:00ff", "headers": [["bin", "hex:80"], ["nil", NSNull()]]],
                ], to: run.topic)
            let deliveries = try await run.receive(4, from: member)
            try #require(deliveries.count == 4)
            let first = try #require(deliveries[0].envelope)
            #expect(first.id == "b")
            #expect(first.payload == Bytes("hello".utf8))
            #expect(first.partitionKey == "k")
            #expect(first.contentType == "text/plain")
            #expect(first.extensions["region"] == "eu")
            #expect(first.headers["x-other"] == "kept")
            #expect(deliveries[1].envelope?.payload == Bytes("[1]".utf8))
            guard case .undecodable(let tombstone, let key, _) = deliveries[2].content,
                case .undecodable(let bytes, let headers, _) = deliveries[3].content
            else {
                Issue.record("What is no event was decoded.")
                return
            }
            #expect(tombstone.isEmpty)
            #expect(key["kafka_key"] == "dead")
            #expect(bytes == [0x00, 0xFF])
            #expect(headers["bin"] == "data:;base64,gA==")
            #expect(headers["nil"] == "")
            await member.close()
            await transport.close()
        }

        private struct Record {
            let key: String?
            let value: String?
            let headers: [String: String]

            init(_ line: Data) throws {
                let object = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
                key = object["key"] as? String
                value = object["value"] as? String
                let pairs = try #require(object["headers"] as? [[String]])
                headers = Dictionary(pairs.map { ($0[0], $0[1]) }) { first, _ in first }
            }
        }
    }

    /// The client of others: `Tests/Interop/kafka.py`, run by a Python that has confluent-kafka.
    enum Interop {
        static let python = ProcessInfo.processInfo.environment["DOVETAIL_KAFKA_PYTHON"]
        static var isMissing: Bool { python == nil || Broker.isMissing }
        static let whyMissing: Comment = "DOVETAIL_KAFKA_PYTHON is not set, see Tests/Services/README.md"

        static func read(_ topic: Topic, _ count: Int) throws -> [Data] {
            try run(["read", Broker.address ?? "", topic.rawValue, "\(count)"], input: Data())
                .split(separator: UInt8(ascii: "\n")).map { Data($0) }
        }

        static func write(_ records: [[String: Any]], to topic: Topic) throws {
            var input = Data()
            for record in records {
                input += try JSONSerialization.data(withJSONObject: record)
                input.append(UInt8(ascii: "\n"))
            }
            _ = try run(["write", Broker.address ?? "", topic.rawValue], input: input)
        }

        private static func run(_ arguments: [String], input: Data) throws -> Data {
            let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "Interop/kafka.py")
            let process = Process()
            process.executableURL = URL(filePath: python ?? "/usr/bin/python3")
            process.arguments = [script.path] + arguments
            // Its own library, not the one that this process may have been given.
            process.environment = ProcessInfo.processInfo.environment.filter { $0.key != "LD_LIBRARY_PATH" }
            let (into, out) = (Pipe(), Pipe())
            process.standardInput = into
            process.standardOutput = out
            try process.run()
            into.fileHandleForWriting.write(input)
            try into.fileHandleForWriting.close()
            let output = out.fileHandleForReading.readDataToEndOfFile()
            process.waitUntilExit()
            try #require(process.terminationStatus == 0)
            return output
        }
    }
#endif
