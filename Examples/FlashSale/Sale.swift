// SPDX-License-Identifier: Apache-2.0

import Dovetail
import DovetailSimulation

/// One run of the day, on virtual time.
struct Sale {
    let seed: UInt64
    let crowd: Bool
    let without: Set<Options.Protection>

    struct Result: Sendable {
        let books: Books.State
        /// The orders that are kept to be paid later.
        let letters: [Tier: Int]
    }

    func run() async throws -> Result {
        let books = Books()
        let simulation = Simulation(seed: seed, limits: Simulation.Limits(jobs: .max), instrument: books)
        return try await simulation.run { [seed, crowd, without] in
            let time = Runtime.current.time
            let opened = time.monotonic()
            books.open(at: opened)
            let processors = zip(Plan.processors, Plan.outages).map { name, outage in
                Processor(name: name, time: time, opened: opened, outage: outage, books: books)
            }
            let till = Till(
                time: time, opened: opened, checkout: Checkout(processors, without: without), books: books,
                letters: LetterBoxes())
            await withDiscardingTaskGroup { group in
                for merchant in Plan.merchants {
                    let usual = Customers(of: merchant, rate: Plan.usualRate, isCrowd: false, seed: seed)
                    group.addTask { await till.serve(usual, during: .zero..<Plan.duration) }
                }
                if crowd {
                    let crowd = Customers(of: Plan.viral, rate: Plan.crowdRate, isCrowd: true, seed: seed)
                    group.addTask { await till.serve(crowd, during: Plan.crowd) }
                }
            }
            return Result(books: books.value, letters: try await till.letters.counts())
        }
    }
}

/// Where customers pay.
private struct Till: Sendable {
    let time: any TimeSource
    let opened: MonotonicInstant
    let checkout: Checkout
    let books: Books
    let letters: LetterBoxes

    /// Customers come whether or not those before them have been served.
    func serve(_ customers: Customers, during hours: Range<Duration>) async {
        await withDiscardingTaskGroup { group in
            var at = hours.lowerBound + customers.pause()
            var number = 0
            while at < hours.upperBound {
                guard (try? await time.sleep(until: opened + at)) != nil else { return }
                number += 1
                let order = customers.order(number)
                group.addTask { await serve(order) }
                at += customers.pause()
            }
        }
    }

    private func serve(_ order: Order) async {
        let start = time.monotonic()
        var failure: (any Error)?
        do {
            try await checkout.pay(order)
        } catch {
            failure = error
        }
        books.note(order, at: start - opened, took: time.monotonic() - start, isPaid: failure == nil)
        // A letter that could not be kept would be missing from the count at the end.
        if let failure { try? await letters.keep(order, failure) }
    }
}

/// The dead letters of each tier, in a database of its own.
private struct LetterBoxes: Sendable {
    private let boxes = Dictionary(
        uniqueKeysWithValues: Tier.allCases.map { ($0, DeadLetterQueue(in: InMemoryDatabase())) })
    private let factory = EnvelopeFactory(source: "sale/checkout")

    func keep(_ order: Order, _ failure: any Error) async throws {
        let runtime = Runtime.current
        let letter = DeadLetter(
            id: order.id,
            content: .envelope(try await factory.envelope(for: order)),
            topic: Order.topic,
            position: order.id,
            consumer: "checkout",
            attempts: 1,
            reason: failure is any CallNotAttempted ? "too-many-at-once" : .timeoutOrNetwork,
            failure: FailureDetail(failure, of: Order.type, runtime: runtime),
            time: runtime.time.now()
        )
        try await boxes[Tier(of: order.merchant)]?.capture([letter])
    }

    func counts() async throws -> [Tier: Int] {
        var counts: [Tier: Int] = [:]
        for (tier, box) in boxes { counts[tier] = try await box.count() }
        return counts
    }
}
