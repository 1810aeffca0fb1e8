// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// The service where things happen: it keeps a row of each activity, and tells of it through its outbox.
struct Wall: Sendable {
    /// What is kept of an activity.
    struct Row: Codable, Sendable {
        let number: Int
        let line: String
    }

    let database = InMemoryDatabase()

    var rows: Table<InMemoryDatabase, Row> { database.table("activities", of: Row.self) }
    private var outbox: Outbox<InMemoryDatabase> { Outbox(in: database, source: "/wall") }

    /// Takes an activity in, as often as the app submits it.
    ///
    /// The row is the same each time. The event is another one each time, with an identifier of its own: nobody but its reader
    /// can tell that it was told before.
    func take(_ activity: some Activity, times: Int) async throws {
        for _ in 0..<times {
            try await database.withTransaction { tx in
                let row = Row(number: activity.number, line: activity.line)
                try await rows.put(row, at: "\(activity.number.padded)", in: tx)
                try await outbox.publish(activity, in: tx)
            }
        }
    }

    private static let people = ["Ada", "Alan", "Barbara", "Edsger", "Grace", "Katherine", "Margaret", "Tim"]
    private static let emojis = ["clap", "heart", "laugh", "rocket"]

    /// How much time passes between two activities.
    private static let pace: Duration = .milliseconds(2)

    /// Lets people write, comment and react.
    ///
    /// - Parameters:
    ///   - count: How many activities.
    ///   - random: Decides who does what, and which of them are submitted twice.
    ///   - double: The share that is submitted twice.
    /// - Throws: `DatabaseError`; `CancellationError`.
    func liven(_ count: Int, random: SeededRandom, double: Double) async throws {
        func pick(_ choices: [String]) -> String { choices[Int(random.next() % UInt64(choices.count))] }
        var posts: [String] = []
        var ordinals: [String: Int] = [:]
        var reactions: Set<[String]> = []
        for number in 1...count {
            try await Runtime.current.time.sleep(for: Self.pace)
            let times = random.chance(double) ? 2 : 1
            let (person, kind) = (pick(Self.people), random.next() % 10)
            guard !posts.isEmpty, kind > 1 else {
                posts.append("post-\(posts.count + 1)")
                let post = PostPublished(
                    number: number, postID: "post-\(posts.count)", author: person, title: "Thought \(posts.count)")
                try await take(post, times: times)
                continue
            }
            let post = pick(posts)
            let reaction = [person, post, pick(Self.emojis)]
            // Nobody gives the same reaction twice.
            if kind > 5, reactions.insert(reaction).inserted {
                let given = ReactionGiven(number: number, postID: post, person: person, emoji: reaction[2])
                try await take(given, times: times)
            } else {
                let ordinal = ordinals["\(person)/\(post)", default: 0] + 1
                ordinals["\(person)/\(post)"] = ordinal
                let comment = CommentAdded(
                    number: number, postID: post, author: person, ordinal: ordinal, text: "Remark \(number)")
                try await take(comment, times: times)
            }
        }
    }
}

extension Int {
    /// Eight digits, so that texts sort as the numbers do.
    var padded: String {
        let digits = String(self)
        return String(repeating: "0", count: Swift.max(0, 8 - digits.count)) + digits
    }
}
