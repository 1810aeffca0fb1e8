// SPDX-License-Identifier: Apache-2.0

import Dovetail

/// Something that a person did, as it is told to everyone who follows.
protocol Activity: Event {
    /// Its place among all activities, from 1; that is what shows a gap.
    var number: Int { get }

    /// What makes it this activity and no other, however often it is told and under whatever message identifier.
    var key: IdempotencyKey { get }

    /// How it reads in a feed.
    var line: String { get }
}

struct PostPublished: Activity {
    static let type: MessageType = "social.post.published"
    let number: Int
    let postID: String
    let author: String
    let title: String

    var partitionKey: PartitionKey? { PartitionKey(postID) }
    var key: IdempotencyKey { IdempotencyKey(fields: author, postID) }
    var line: String { "\(author) wrote '\(title)'" }
}

struct CommentAdded: Activity {
    static let type: MessageType = "social.comment.added"
    let number: Int
    let postID: String
    let author: String
    /// The how manieth comment of this author on this post it is.
    let ordinal: Int
    let text: String

    var partitionKey: PartitionKey? { PartitionKey(postID) }
    var key: IdempotencyKey { IdempotencyKey(fields: author, postID, ordinal) }
    var line: String { "\(author) commented '\(text)'" }
}

struct ReactionGiven: Activity {
    static let type: MessageType = "social.reaction.given"
    let number: Int
    let postID: String
    let person: String
    let emoji: String

    var partitionKey: PartitionKey? { PartitionKey(postID) }
    var key: IdempotencyKey { IdempotencyKey(fields: person, postID, emoji) }
    var line: String { "\(person) reacted with \(emoji)" }
}
