// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailDeadLetters

extension Catalogue {
    static let deadLetters = [
        Comparison(
            "Dead letters, capture, one at a time", in: .perSecond("letters"), count: 20_000,
            of: DeadLetterWorkloads.captured("capture a letter", batch: 1), over: IdempotencyWorkloads.emptyTransaction
        ),
        Comparison(
            "Dead letters, capture, batches of 100", in: .perSecond("letters"), count: 100_000,
            of: DeadLetterWorkloads.captured("capture 100 letters", batch: 100),
            over: DeadLetterWorkloads.fingerprints
        ),
    ]
}

/// What it costs to keep dead letters.
enum DeadLetterWorkloads {
    private static let reasons: [DeadLetterReason] = [
        .poison, .timeoutOrNetwork, .businessRule, .schemaMismatch, .expired,
    ]

    static func letter(_ number: Int) -> DeadLetter {
        var attributes = EnvelopeAttributes(
            id: MessageID("message-\(number)"), source: "/shop", type: MessageType("shop.order.event\(number % 20)"),
            topic: "shop.orders")
        attributes.tenant = TenantID("tenant-\(number % 100)")
        return DeadLetter(
            id: "letter-\(number)",
            content: .envelope(Envelope(attributes, payload: Bytes(repeating: UInt8(ascii: "x"), count: 200))),
            topic: "shop.orders", position: "3@\(number)", consumer: "consumer-\(number % 10)", attempts: 8,
            reason: reasons[number % reasons.count],
            failure: FailureDetail(type: "Shop.BankError", place: "timedOut", message: "No answer for \(number)."),
            time: Timestamp(secondsSinceEpoch: 1_700_000_000 + Int64(number)))
    }

    static func captured(_ name: String, batch: Int) -> Workload {
        Workload(name) { count in
            let letters = (0..<count).map(letter)
            let queue = DeadLetterQueue(in: InMemoryDatabase())
            return {
                for start in stride(from: 0, to: count, by: batch) {
                    try await queue.capture(Array(letters[start..<min(start + batch, count)]))
                }
                try WorkloadError.check(try await queue.count(), is: count, "The letters that were kept")
            }
        }
    }

    /// What any way of grouping letters has to do.
    static let fingerprints = Workload("compute a fingerprint") { count in
        let letters = (0..<count).map(letter)
        return {
            for letter in letters { sink(letter.fingerprint) }
        }
    }
}

#if SQLite
    import DovetailSQLite
    import Foundation
    import Synchronization

    extension Catalogue {
        static let sqliteDeadLetters = [
            Comparison(
                "SQLite, dead letters, capture", in: .perSecond("commits"), count: 5_000,
                of: SQLiteDeadLetterWorkloads.captured("a letter a transaction", batch: 1),
                over: SQLiteWorkloads.transactions("a transaction that writes a row", .row)
            ),
            Comparison(
                "SQLite, dead letters, capture, batches of 100", in: .perSecond("letters"), count: 50_000,
                of: SQLiteDeadLetterWorkloads.captured("100 letters a transaction", batch: 100),
                over: DeadLetterWorkloads.fingerprints
            ),
            Comparison(
                "SQLite, a million dead letters, a page of 100 by reason", in: .nanoseconds, count: 200,
                of: SQLiteDeadLetterWorkloads.pages("a page by reason", DeadLetterFilter(reason: .expired)),
                over: SQLiteDeadLetterWorkloads.pages("a page of all", .all)
            ),
            Comparison(
                "SQLite, a million dead letters, a page of 100 by tenant and consumer", in: .nanoseconds, count: 200,
                of: SQLiteDeadLetterWorkloads.pages(
                    "a page by tenant and consumer", DeadLetterFilter(consumer: "consumer-7", tenant: "tenant-7")),
                over: SQLiteDeadLetterWorkloads.pages("a page of all", .all)
            ),
            Comparison(
                "SQLite, a million dead letters, counted by reason", in: .nanoseconds, count: 200,
                of: SQLiteDeadLetterWorkloads.counts, over: SQLiteDeadLetterWorkloads.emptyRead
            ),
        ]
    }

    /// What it costs to keep dead letters in a file, and to look at them when there are a million.
    enum SQLiteDeadLetterWorkloads {
        static let million = 1_000_000

        /// Filled once for all rows that look at it; it takes half a minute.
        private actor Filled {
            static let shared = Filled()
            private let file = SQLiteWorkloads.File()
            private var queue: DeadLetterQueue<SQLiteDatabase>?

            func letters() async throws -> DeadLetterQueue<SQLiteDatabase> {
                if let queue { return queue }
                let queue = DeadLetterQueue(in: SQLiteDatabase(file.path))
                self.queue = queue
                for start in stride(from: 0, to: million, by: 5_000) {
                    try await queue.capture((start..<(start + 5_000)).map(DeadLetterWorkloads.letter))
                }
                return queue
            }
        }

        static func captured(_ name: String, batch: Int) -> Workload {
            Workload(name) { count in
                let file = SQLiteWorkloads.File()
                let database = SQLiteDatabase(file.path)
                try await database.open()
                let queue = DeadLetterQueue(in: database)
                let letters = (0..<count).map(DeadLetterWorkloads.letter)
                return {
                    for start in stride(from: 0, to: count, by: batch) {
                        try await queue.capture(Array(letters[start..<min(start + batch, count)]))
                    }
                    await database.close()
                    sink(file)
                }
            }
        }

        static func pages(_ name: String, _ filter: DeadLetterFilter) -> Workload {
            Workload(name) { count in
                let queue = try await Filled.shared.letters()
                return {
                    for index in 0..<count {
                        // Somewhere in the first half, so that there is a whole page behind it.
                        let place = Int64((index * 7919) % (million / 2))
                        let page = try await queue.find(filter, after: place, limit: 100)
                        try WorkloadError.check(page.count, is: 100, "The letters of a page")
                    }
                }
            }
        }

        static let counts = Workload("count by reason") { count in
            let queue = try await Filled.shared.letters()
            return {
                for _ in 0..<count {
                    let found = try await queue.count(DeadLetterFilter(reason: .expired))
                    try WorkloadError.check(found, is: million / 5, "The letters of a reason")
                }
            }
        }

        static let emptyRead = Workload("a read that finds nothing") { count in
            let queue = try await Filled.shared.letters()
            return {
                for _ in 0..<count { sink(try await queue.letter("none")) }
            }
        }
    }
#else
    extension Catalogue {
        static let sqliteDeadLetters: [Comparison] = []
    }
#endif
