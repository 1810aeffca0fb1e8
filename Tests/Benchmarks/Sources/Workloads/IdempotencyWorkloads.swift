// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailIdempotency

/// What it costs to remember keys, in memory.
enum IdempotencyWorkloads {
    /// Transactions that record the key of a message and do nothing else.
    static let once = Workload("a transaction that records a key") { count in
        let database = InMemoryDatabase()
        let keys = keys(of: .messages, count)
        return {
            for key in keys { try await record(key, in: database) }
        }
    }

    static let emptyTransaction = Workload("a transaction that does nothing") { count in
        let database = InMemoryDatabase()
        return {
            for _ in 0..<count { try await database.withTransaction { sink($0) } }
        }
    }

    /// What keys look like.
    enum Kind: Sendable {
        /// The identifiers of messages of ours.
        case messages

        /// Derived from two fields of a payload.
        case fields

        /// Text of the application.
        case text
    }

    static func memory(_ kind: Kind) -> @Sendable (_ count: Int) async throws -> any Sendable {
        { count in
            let database = InMemoryDatabase()
            for index in 0..<count { try await record(key(of: kind, index), in: database) }
            return database
        }
    }

    private static func record(_ key: IdempotencyKey, in database: InMemoryDatabase) async throws {
        let isNew = try await database.withTransaction { tx in
            try await database.idempotencyStore.record(
                [key], in: "payments", retention: IdempotencyRetention.standard, in: tx
            )
        }
        try WorkloadError.check(isNew, is: [true], "Whether the key was new")
    }

    private static func keys(of kind: Kind, _ count: Int) -> [IdempotencyKey] {
        (0..<count).map { key(of: kind, $0) }
    }

    private static func key(of kind: Kind, _ index: Int) -> IdempotencyKey {
        switch kind {
        case .messages: IdempotencyKey(Runtime.current.makeMessageID().rawValue)
        case .fields: IdempotencyKey(fields: "order-\(index)", index % 97)
        case .text: IdempotencyKey("charge of order \(1_000_000_000 + index) by card")
        }
    }
}
