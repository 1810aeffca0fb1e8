// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailDeadLetters
import DovetailIdempotency
import DovetailSimulation
import DovetailTesting
import Foundation
import Testing

/// How much of it is tried: with `DOVETAIL_DEAD_LETTER_SEEDS=1000`, ten thousand messages for each of a thousand seeds.
private enum Scale {
    static let seeds = ProcessInfo.processInfo.environment["DOVETAIL_DEAD_LETTER_SEEDS"].flatMap { Int($0) }
    static let messages = seeds == nil ? 400 : 10_000
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

    private static func envelope(_ number: Int, _ world: TestWorld) async throws -> Envelope<Bytes> {
        let factory = EnvelopeFactory(source: "/shop", runtime: world.runtime)
        // Few keys, so that many follow another one.
        let order = OrderPlaced(number: number, key: number % 5 == 0 ? "" : "key \(number % 97)")
        var envelope = try await factory.envelope(for: order)
        envelope.attributes.subject = String(number)
        switch Kind(number) {
        case .schema: envelope.payload = Bytes(#"{"number":"many"}"#.utf8)
        case .expired: envelope.attributes.expiry = envelope.attributes.time
        case .unroutable: envelope.attributes.type = "shop.order.forgotten"
        case .otherVersion: envelope.attributes.version = 7
        default: break
        }
        return envelope
    }

    @Test(
        "Under faults and crashes every message is handled once or is one dead letter, with the right reason",
        arguments: .simulated(
            seeds: Scale.seeds ?? 4,
            faults: TransportFaults(publishFails: 0.05, duplicate: 0.05, delay: 0.05, reorder: 0.05, lose: 0.02),
            // Not so many that a message is taken for the cause of the crashes.
            crashes: CrashPlan(atEffects: 0.003, most: 12), limits: Simulation.Limits(jobs: 50_000_000)))
    func everyMessageIsInOnePlace(world: TestWorld) async throws {
        world.add("shop") { node in Self.consumer(node) }
        try await world.run {
            for number in 0..<Scale.messages { try await world.deliver(Self.envelope(number, world)) }
            try await world.untilQuiet()
            // The service's own database.
            let database = world.database(named: "shop")
            let handled = try await database.table("handled", of: Int.self).all()
            let queue = DeadLetterQueue(in: database)
            let letters = try await queue.list(limit: .max)
            // Handled plus dead letters is published, and neither counts one twice.
            #expect(handled.count + letters.count == Scale.messages)
            #expect(handled.allSatisfy { $0.row == 1 })
            let places = handled.map(\.key) + letters.compactMap { $0.envelope?.attributes.subject }
            #expect(Set(places).count == Scale.messages)
            for letter in letters {
                let number = try #require(letter.envelope?.attributes.subject.flatMap { Int($0) })
                #expect(
                    letter.reason == Kind(number).reason, "\(number): \(letter.failure), \(letter.attempts) attempts")
            }
            #expect(try await queue.counts().total == letters.count)
        }
        #expect(world.world.incarnations(of: "shop") > 1)
    }
}
