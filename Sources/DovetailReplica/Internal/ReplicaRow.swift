// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// An entity, or what is left of one.
struct ReplicaRow<Entity: Codable & Sendable>: Codable, Sendable {
    var version: Int64
    /// `nil` for a tombstone.
    var entity: Entity?
    /// When its owner made the change.
    var time: Timestamp
    /// The last snapshot that had it.
    var snapshot: String?
}

/// Names a tombstone by the time at which it was set here, so that a sweep finds the oldest first.
struct TombstoneEntry: Codable, Sendable {
    let key: String
    let version: Int64
}

/// Which copy is read, and which one is being built beside it.
struct ReplicaGenerations: Codable, Sendable, Equatable {
    var current = 1
    var building: Int?

    /// Those that changes go to.
    var all: [Int] { [current] + (building.map { [$0] } ?? []) }
}

/// The newest change that is known of.
struct ReplicaNewest: Codable, Sendable {
    var time: Timestamp
}

/// Where the messages of a route go.
enum ReplicaTarget: Sendable {
    /// The copy that is read, and the one that is being built if there is one.
    case live
    /// The one that is being built.
    case generation(Int)
}
