// SPDX-License-Identifier: Apache-2.0

#if RabbitMQ
    import Dovetail
    import Foundation
    import TestSupport
    import Testing

    @testable import DovetailRabbitMQ

    #if canImport(FoundationNetworking)
        import FoundationNetworking
    #endif

    /// What is on the broker, as its management interface shows it.
    @Suite(.serialized, .disabled(if: Broker.isMissing, Broker.whyMissing), .timeLimit(.minutes(10)))
    struct RabbitMQTopologyTests {
        private let run = RabbitMQRun()
        private var topic: Topic { run.topic }

        /// Asks for one thing of the virtual host `/`, such as `queues` and a name.
        @discardableResult
        private func ask(_ method: String, _ kind: String, _ name: String) async throws -> Data {
            let text = ProcessInfo.processInfo.environment["DOVETAIL_RABBITMQ_MANAGEMENT"]
            let base = try #require(text.flatMap { URLComponents(string: $0) }, "See Tests/Services/README.md")
            var components = base
            (components.user, components.password) = (nil, nil)
            let escaped = try #require(name.addingPercentEncoding(withAllowedCharacters: .alphanumerics))
            components.percentEncodedPath = "/api/\(kind)/%2F/\(escaped)"
            var request = URLRequest(url: try #require(components.url))
            request.httpMethod = method
            let login = Data("\(base.user ?? ""):\(base.password ?? "")".utf8).base64EncodedString()
            request.setValue("Basic \(login)", forHTTPHeaderField: "Authorization")
            return try await URLSession.shared.data(for: request).0
        }

        private func look(at kind: String, _ name: String) async throws -> [String: any Sendable] {
            let data = try await ask("GET", kind, name)
            return try #require(try JSONSerialization.jsonObject(with: data) as? [String: any Sendable])
        }

        @Test("A topic is a direct exchange that lasts, and what nobody is bound for goes to its alternate exchange")
        func exchanges() async throws {
            let transport = try Broker.connect()
            await (try transport.subscribe(to: [topic], as: run.group)).close()
            let exchange = try await look(at: "exchanges", topic.rawValue)
            #expect(exchange["type"] as? String == "direct")
            #expect(exchange["durable"] as? Bool == true)
            let arguments = exchange["arguments"] as? [String: any Sendable]
            #expect(arguments?["alternate-exchange"] as? String == "\(topic):rest-3")
            #expect(try await look(at: "exchanges", "\(topic):rest-3")["type"] as? String == "fanout")
            try await run.clean(transport)
        }

        @Test(
            "A partition is a quorum queue with one active consumer, which hands over what is rejected at least once and refuses what is too much"
        )
        func queues() async throws {
            let transport = try Broker.connect(topics: .onDemand(partitions: 3, mostQueued: 500))
            await (try transport.subscribe(to: [topic], as: run.group)).close()
            let rejected = "\(run.group):\(topic):rejected"
            for partition in 0..<3 {
                let queue = try await look(at: "queues", "\(run.group):\(topic):\(partition)")
                #expect(queue["durable"] as? Bool == true)
                let arguments = try #require(queue["arguments"] as? [String: any Sendable])
                #expect(arguments["x-queue-type"] as? String == "quorum")
                #expect(arguments["x-single-active-consumer"] as? Bool == true)
                #expect(arguments["x-dead-letter-exchange"] as? String == "")
                #expect(arguments["x-dead-letter-routing-key"] as? String == rejected)
                #expect(arguments["x-dead-letter-strategy"] as? String == "at-least-once")
                #expect(arguments["x-overflow"] as? String == "reject-publish")
                #expect(arguments["x-max-length"] as? Int == 500)
            }
            let queue = try await look(at: "queues", rejected)
            #expect((queue["arguments"] as? [String: any Sendable])?["x-queue-type"] as? String == "quorum")
            try await run.clean(transport)
        }

        @Test("Members are counted by a queue that every broker takes, and that goes with the last of them")
        func members() async throws {
            let transport = try Broker.connect()
            let member = try await transport.subscribe(to: [topic], as: run.group)
            let name = "\(run.group):\(topic):presence"
            let queue = try await look(at: "queues", name)
            #expect(queue["durable"] as? Bool == true)
            #expect(queue["auto_delete"] as? Bool == true)
            let arguments = try #require(queue["arguments"] as? [String: any Sendable])
            #expect(arguments["x-queue-type"] as? String == "classic")
            // After a restart of the broker it may be there without any member.
            #expect(arguments["x-expires"] as? Int == 60_000)
            #expect(try await transport.consumers(of: name) == 1)
            await member.close()
            let isGone = try await run.waits { try await transport.consumers(of: name) == nil }
            #expect(isGone)
            try await run.clean(transport)
        }

        @Test("While the first group of a topic is made, no message is stored where the next of its key would pass it")
        func firstGroup() async throws {
            let key = try #require(
                (0..<100).map { PartitionKey("\($0)") }.first { PartitionHash.partition(of: $0, count: 3) == 2 })
            let proxy = try Broker.proxy()
            try proxy.start()
            proxy.hold(before: Request.bind("\(run.group):\(topic):2"))
            let transport = try Broker.connect(to: Broker.address(by: proxy))
            async let joining = transport.subscribe(to: [topic], as: run.group)
            let isHolding = try await run.waits { proxy.isHolding }
            try #require(isHolding)
            let publisher = try Broker.connect()
            let early = try await publisher.publish(run.messages(0..<1, key: { _ in key }))[0]
            #expect(early.error?.code == .unroutable)
            proxy.letGo()
            let member = try await joining
            try await run.publish(run.messages(0..<2, key: { _ in key }), to: publisher)
            #expect(run.numbers(try await run.receive(2, from: member)) == [0, 1])
            await member.close()
            await transport.close()
            try await run.clean(publisher)
            proxy.stop()
        }

        @Test("What was deleted while the broker could not be reached is made anew, for those who read and who publish")
        func recovery() async throws {
            let proxy = try Broker.proxy()
            try proxy.start()
            let transport = try Broker.connect(to: Broker.address(by: proxy), heartbeat: .seconds(1))
            let member = try await transport.subscribe(to: [topic], as: run.group)
            try await run.publish(run.messages(0..<3), to: transport)
            let deliveries = try await run.receive(3, from: member)
            try await member.settle(deliveries.map { .acknowledge($0.id) })
            try await run.waitForBacklog(0, transport)
            proxy.stop()
            let other = try Broker.connect()
            try await other.removeGroup(run.group, from: [topic])
            await other.close()
            for exchange in [topic.rawValue, "\(topic):rest-3"] { try await ask("DELETE", "exchanges", exchange) }
            try proxy.start()
            var published = false
            let deadline = run.time.monotonic() + .seconds(60)
            while !published, run.time.monotonic() < deadline {
                published = try await transport.publish(run.messages(3..<4))[0].error == nil
                try await run.time.sleep(for: .milliseconds(50))
            }
            let again = try await run.receive(1, from: member)
            #expect(run.numbers(again) == [3])
            await member.close()
            try await run.clean(transport)
            proxy.stop()
        }
    }
#endif
