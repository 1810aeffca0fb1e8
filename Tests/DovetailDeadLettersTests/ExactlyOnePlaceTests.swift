// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailDeadLetters
import DovetailIdempotency
import DovetailSimulation
import Foundation
import Testing

/// How much of it is tried: `DOVETAIL_DEAD_LETTER_SEEDS=1000` tries ten thousand messages for each of a thousand seeds.
private enum Scale {
    private static let environment = ProcessInfo.processInfo.environment
    static let isFull = environment["DOVETAIL_DEAD_LETTER_SEEDS"] != nil
    static let seeds = UInt64(environment["DOVETAIL_DEAD_LETTER_SEEDS"] ?? "") ?? 4
    /// So many seeds are tried side by side, and no more: a thousand worlds at once need more memory than they need to.
    static let parts = 4
    static let messages = Int(environment["DOVETAIL_DEAD_LETTER_MESSAGES"] ?? "") ?? (isFull ? 10_000 : 400)
}

@Suite(.timeLimit(.minutes(600)))
struct ExactlyOnePlaceTests {
    /// How a message ends; its number tells.
    private enum Kind: Int, CaseIterable {
        case fine, fineAtLast, business, poison, network, schema, tooLarge, expired, unroutable, otherVersion

        init(_ number: Int) {
            // Half of them are fine.
            self = number % 2 == 0 ? .fine : Kind.allCases[(number / 2) % Kind.allCases.count]
        }

        var reason: DeadLetterReason? {
            switch self {
            case .fine, .fineAtLast: nil
            case .business: .businessRule
            case .poison: .poison
            case .network: .timeoutOrNetwork
            case .schema: .schemaMismatch
            case .tooLarge: .tooLarge
            case .expired: .expired
            case .unroutable, .otherVersion: .unroutable
            }
        }
    }

    private struct TooLarge: ClassifiedError {
        var failureClass: FailureClass { .permanent }
        var deadLetterReason: DeadLetterReason? { .tooLarge }
    }

    private static func consumer(_ node: Node) -> Consumer {
        let handled = node.database.table("handled", of: Int.self)
        return Consumer("shop", on: node.bus) {
            On(OrderPlaced.self, once: node.database) { order, context, tx in
                switch Kind(order.number) {
                case .business: throw Declined()
                case .poison: throw Broken.thing
                case .network: throw Down()
                case .tooLarge: throw TooLarge()
                case .fineAtLast where context.attempt <= 2: throw Down()
                default: break
                }
                let key = String(order.number)
                try await handled.put((try await handled.get(key, in: tx) ?? 0) + 1, at: key, in: tx)
            }
        }
        .retrying(.immediate(attempts: 2).then(.constant(.seconds(1), attempts: 2)))
        .unknownMessages(.deadLetter)
        .deadLettering(to: DeadLetterQueue(in: node.database))
    }

    private static func envelope(_ number: Int, at now: Timestamp) -> Envelope<Bytes> {
        let isUnknown = Kind(number) == .unroutable
        var attributes = EnvelopeAttributes(
            id: MessageID("message \(number)"), source: "/shop",
            type: isUnknown ? "shop.order.forgotten" : OrderPlaced.type,
            topic: OrderPlaced.topic)
        attributes.subject = String(number)
        attributes.time = now
        // Few keys, so that many follow another one.
        if number % 5 != 0 { attributes.partitionKey = PartitionKey("key \(number % 97)") }
        if Kind(number) == .expired { attributes.expiry = now }
        if Kind(number) == .otherVersion { attributes.version = 7 }
        let payload = Kind(number) == .schema ? #"{"number":"many"}"# : #"{"number":\#(number),"key":""}"#
        return Envelope(attributes, payload: Bytes(payload.utf8))
    }

    /// Until each was confirmed once, so that many are stored more than once.
    private static func publish(_ envelopes: [Envelope<Bytes>], on bus: InMemoryTransport) async throws {
        var rest = envelopes
        while !rest.isEmpty {
            let results = try await bus.publish(rest)
            rest = zip(rest, results).filter { $1.error != nil }.map(\.0)
        }
    }

    private struct Outcome: Sendable {
        let handled: [(key: String, count: Int)]
        let letters: [DeadLetter]
        let total: Int
    }

    @Test(
        "Under faults and crashes every message is handled once or is one dead letter, with the right reason",
        arguments: 0..<Scale.parts)
    func everyMessageIsInOnePlace(part: Int) async throws {
        for seed in stride(from: UInt64(part), to: Scale.seeds, by: Scale.parts) {
            try await Self.everyMessageIsInOnePlace(seed: seed)
        }
    }

    private static func everyMessageIsInOnePlace(seed: UInt64) async throws {
        let world = World(seed: seed, limits: Simulation.Limits(jobs: 100_000_000))
        world.bus.setFaults(
            TransportFaults(publishFails: 0.05, duplicate: 0.05, delay: 0.05, reorder: 0.05, lose: 0.02))
        // Not so many that a message is taken for the cause of the crashes.
        world.crashes = CrashPlan(atEffects: Scale.isFull ? 0.0005 : 0.003, most: 12)
        world.add("shop") { node in Self.consumer(node) }
        let outcome = try await world.run {
            for start in stride(from: 0, to: Scale.messages, by: 100) {
                let numbers = start..<min(start + 100, Scale.messages)
                try await publish(numbers.map { envelope($0, at: world.time.now()) }, on: world.bus)
                // Until somebody reads it, the bus keeps no more than its capacity.
                if start == 0 { try await world.untilQuiet() }
            }
            try await world.untilQuiet()
            let database = world.database("shop")
            let queue = DeadLetterQueue(in: database)
            return Outcome(
                handled: try await database.table("handled", of: Int.self).all().map { ($0.key, $0.row) },
                letters: try await queue.list(limit: .max), total: try await queue.counts().total)
        }
        // Handled plus dead letters is published, and neither counts one twice.
        #expect(outcome.handled.count + outcome.letters.count == Scale.messages, "seed \(seed)")
        #expect(outcome.total == outcome.letters.count, "seed \(seed)")
        #expect(outcome.handled.allSatisfy { $0.count == 1 }, "seed \(seed)")
        let places = outcome.handled.map(\.key) + outcome.letters.compactMap { $0.envelope?.attributes.subject }
        #expect(Set(places).count == Scale.messages, "seed \(seed)")
        for letter in outcome.letters {
            let number = try #require(letter.envelope?.attributes.subject.flatMap { Int($0) })
            #expect(
                letter.reason == Kind(number).reason,
                "seed \(seed), \(number): \(letter.failure), \(letter.attempts) attempts")
        }
        #expect(world.incarnations(of: "shop") > 1, "seed \(seed)")
    }
}
