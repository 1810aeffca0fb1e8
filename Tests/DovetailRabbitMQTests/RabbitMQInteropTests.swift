// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dovetail
    import Foundation
    import Testing

    @testable import DovetailRabbitMQ

    /// What a client of others reads of ours, and what we read of its.
    @Suite(.serialized, .disabled(if: Interop.isMissing, Interop.whyMissing), .timeLimit(.minutes(10)))
    struct RabbitMQInteropTests {
        private let run = RabbitMQRun()

        @Test("Another client reads the events that we publish, with properties and headers as the binding has them")
        func othersReadOurs() async throws {
            let transport = try Broker.connect()
            // The exchange is there before the other client looks for it.
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            let reading = try Interop.startReading(run.topic, 2)
            var full = envelope("1", key: "schlüssel", topic: run.topic, payload: Bytes(#"{"sku":"é"}"#.utf8))
            full.contentType = "application/json"
            full.subject = "заказ"
            full.headers = ["greeting": "こんにちは"]
            try await run.publish([full], to: transport)
            try await run.publish([envelope("2", topic: run.topic, payload: [0xFF, 0x00])], to: transport)
            let lines = try reading.finish()
            try #require(lines.count == 2)
            let first = try #require(try JSONSerialization.jsonObject(with: lines[0]) as? [String: Any])
            let headers = try #require(first["headers"] as? [String: String])
            #expect(first["type"] as? String == "application/json")
            #expect(first["id"] as? String == "1")
            #expect(first["mode"] as? Int == 2)
            #expect(first["body"] as? String == #"{"sku":"é"}"#)
            #expect(headers["cloudEvents:specversion"] == "1.0")
            #expect(headers["cloudEvents:id"] == "1")
            #expect(headers["cloudEvents:source"] == "/s")
            #expect(headers["cloudEvents:type"] == "x.y")
            #expect(headers["cloudEvents:subject"] == "заказ")
            #expect(headers["cloudEvents:partitionkey"] == "schlüssel")
            #expect(headers["cloudEvents:dovetailheaders"] == #"{"greeting":"こんにちは"}"#)
            let second = try #require(try JSONSerialization.jsonObject(with: lines[1]) as? [String: Any])
            #expect(second["body"] as? String == "hex:ff00")
            await member.close()
            try await run.clean(transport)
        }

        @Test("We read what another client publishes, with any routing key, in both modes, and keep what is no event")
        func weReadOthers() async throws {
            let transport = try Broker.connect()
            let member = try await transport.subscribe(to: [run.topic], as: run.group)
            let binary: [String: Any] = [
                "cloudEvents_specversion": "1.0", "cloudEvents_id": "b", "cloudEvents_source": "/py",
                "cloudEvents_type": "x.y", "cloudEvents_partitionkey": "k", "cloudEvents_attempts": 3, "X-Other": true,
            ]
            let json = #"{"specversion":"1.0","id":"s","source":"/py","type":"x.y","data":[1]}"#
            try Interop.write(
                [
                    ["key": "any.key", "type": "text/plain", "headers": binary, "body": "hello"],
                    [
                        "key": "", "type": "application/cloudevents+json; charset=utf-8", "headers": [String: Any](),
                        "body": json,
                    ],
                    [
                        "key": "another", "id": "m", "body": "hex:00ff",
                        "headers": ["bin": "hex:80", "list": [1, "a"], "table": ["x": 1], "none": NSNull()]
                            as [String: Any],
                    ],
                ], to: run.topic)
            let deliveries = try await run.receive(3, from: member)
            try #require(deliveries.count == 3)
            let first = try #require(deliveries[0].envelope)
            #expect(first.id == "b")
            #expect(first.partitionKey == "k")
            #expect(first.contentType == "text/plain")
            #expect(first.payload == Bytes("hello".utf8))
            #expect(first.attributes.extensions["attempts"]?.text == "3")
            #expect(first.attributes.headers["X-Other"] == "true")
            #expect(deliveries[1].envelope?.id == "s")
            #expect(deliveries[1].envelope?.payload == Bytes("[1]".utf8))
            guard case .undecodable(let bytes, let headers, _) = deliveries[2].content else {
                Issue.record("What is no event was decoded.")
                return
            }
            #expect(bytes == [0x00, 0xFF])
            #expect(headers["bin"] == "data:;base64,gA==")
            #expect(headers["list"] == "[1, a]")
            #expect(headers["table"] == "{x: 1}")
            #expect(headers["none"] == "")
            #expect(headers["message-id"] == "m")
            await member.close()
            try await run.clean(transport)
        }
    }

    /// The client of others: `Tests/Interop/rabbitmq.py`, run by a Python that has pika.
    enum Interop {
        static let python = ProcessInfo.processInfo.environment["DOVETAIL_RABBITMQ_PYTHON"]
        static var isMissing: Bool { python == nil || Broker.isMissing }
        static let whyMissing: Comment = "DOVETAIL_RABBITMQ_PYTHON is not set, see Tests/Services/README.md"

        struct Reading {
            fileprivate let process: Process
            fileprivate let output: FileHandle

            func finish() throws -> [Data] {
                let data = output.readDataToEndOfFile()
                process.waitUntilExit()
                try #require(process.terminationStatus == 0)
                return data.split(separator: UInt8(ascii: "\n")).map { Data($0) }
            }
        }

        /// Starts a reader, and waits until it has its queue.
        static func startReading(_ topic: Topic, _ count: Int) throws -> Reading {
            let (process, _, output) = try start(["read", Broker.address ?? "", topic.rawValue, "\(count)"])
            var line = Data()
            while line.last != UInt8(ascii: "\n") {
                let byte = output.readData(ofLength: 1)
                try #require(!byte.isEmpty, "The reader ended.")
                line += byte
            }
            try #require(line == Data("ready\n".utf8))
            return Reading(process: process, output: output)
        }

        static func write(_ messages: [[String: Any]], to topic: Topic) throws {
            let (process, input, output) = try start(["write", Broker.address ?? "", topic.rawValue])
            for message in messages {
                try input.write(contentsOf: JSONSerialization.data(withJSONObject: message) + Data("\n".utf8))
            }
            try input.close()
            _ = output.readDataToEndOfFile()
            process.waitUntilExit()
            try #require(process.terminationStatus == 0)
        }

        private static func start(
            _ arguments: [String]
        ) throws -> (process: Process, input: FileHandle, output: FileHandle) {
            let script = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
                .appending(path: "Interop/rabbitmq.py")
            let process = Process()
            process.executableURL = URL(filePath: python ?? "/usr/bin/python3")
            process.arguments = [script.path] + arguments
            let (into, out) = (Pipe(), Pipe())
            process.standardInput = into
            process.standardOutput = out
            try process.run()
            return (process, into.fileHandleForWriting, out.fileHandleForReading)
        }
    }
#endif
