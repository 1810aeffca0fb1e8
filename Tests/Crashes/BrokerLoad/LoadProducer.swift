// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import Dovetail
    import Foundation

    /// Publishes the messages of its keys one number after the other, each number once the one before it is published.
    ///
    /// It notes what was published afterwards, so that after a crash it publishes some again, and never leaves one out.
    struct LoadProducer: Service {
        let bus: any Transport
        let rows: LoadRows
        let options: Options

        func run() async throws {
            let own = (0..<options.keys).filter { $0 % options.parts == options.part }
            var sent = try await rows.sent()
            let time = SystemTime()
            while !Task.isCancelled, !FileManager.default.fileExists(atPath: options.stopFile) {
                let envelopes = own.map { message(sent[$0, default: 0], of: $0) }
                var published: [Int: Int] = [:]
                for (key, result) in zip(own, try await bus.publish(envelopes)) where result.error == nil {
                    published[key] = sent[key, default: 0] + 1
                }
                try await rows.note(sent: published)
                sent.merge(published) { $1 }
                try await time.sleep(for: published.count == own.count ? .milliseconds(10) : .milliseconds(200))
            }
        }

        private func message(_ number: Int, of key: Int) -> Envelope<Bytes> {
            var attributes = EnvelopeAttributes(
                id: MessageID("\(key)-\(number)"), source: "/load", type: "load.message", topic: Topic(options.topic))
            attributes.partitionKey = PartitionKey("key-\(key)")
            return Envelope(attributes, payload: Bytes("\(number)".utf8))
        }
    }
#endif
