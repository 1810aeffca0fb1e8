// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// The feed of one person: a consumer of all three kinds of activities, with a database of its own.
struct Feed: Sendable {
    /// An entry of the feed.
    struct Entry: Codable, Sendable {
        let number: Int
        let line: String
    }

    static let people = [
        "Alice", "Bob", "Carol", "Dave", "Erin", "Frank", "Heidi", "Ivan", "Judy", "Mallory", "Peggy", "Trent",
    ]
    static let topics = [PostPublished.topic, CommentAdded.topic, ReactionGiven.topic]

    let person: String
    var database = InMemoryDatabase()
    let isProtected: Bool
    /// Told of each entry that is new, with the time since the activity.
    let onEntry: @Sendable (Duration) -> Void

    var group: ConsumerGroup { ConsumerGroup("feed-\(person)") }
    var entries: Table<InMemoryDatabase, Entry> { database.table("entries", of: Entry.self) }

    func consumer(on bus: InMemoryTransport, workers: Int) -> Consumer {
        Consumer(group.rawValue, on: bus) {
            on(PostPublished.self)
            on(CommentAdded.self)
            on(ReactionGiven.self)
        }
        .concurrency(workers)
        .deadLettering(to: DeadLetterQueue(in: database))
    }

    private func on<A: Activity>(_ type: A.Type) -> On {
        guard isProtected else {
            // Nothing remembers that the activity was seen.
            return On(type) { activity, context in
                try await database.withTransaction { tx in try await add(activity, context, tx) }
            }
        }
        return On(type, once: database, key: \.key) { activity, context, tx in try await add(activity, context, tx) }
    }

    /// Adds an entry under a key that never collides, so that a second one would show.
    private func add(_ activity: some Activity, _ context: MessageContext, _ tx: InMemoryTransaction) async throws {
        let runtime = Runtime.current
        let entry = Entry(number: activity.number, line: activity.line)
        try await entries.put(entry, at: "\(activity.number.padded)/\(runtime.makeUUID())", in: tx)
        guard let time = context.attributes.time else { return }
        let elapsed = max(.zero, runtime.time.now() - time)
        tx.afterCommit { onEntry(elapsed) }
    }
}
