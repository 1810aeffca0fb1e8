// SPDX-License-Identifier: Apache-2.0

/// What a message says about an entity of another service.
///
/// The version comes from the owner of the entity and rises with each change of it, such as the number of its revisions. It is
/// what makes repeats and messages out of order harmless, so a time is a poor one: two changes may have the same.
public struct ReplicaChange<Entity: Codable & Sendable>: Sendable {
    /// The entity's key in the replica.
    public let key: String

    /// The version of the entity after the change, given by its owner.
    public let version: Int64

    /// The entity after the change; `nil` if it is no more.
    public let entity: Entity?

    /// The entity is as given from this version on.
    ///
    /// - Parameters:
    ///   - entity: The entity after the change, all of it.
    ///   - key: Its key.
    ///   - version: Its version.
    /// - Returns: The change.
    public static func put(_ entity: Entity, at key: String, version: Int64) -> ReplicaChange {
        ReplicaChange(key: key, version: version, entity: entity)
    }

    /// The entity is no more from this version on.
    ///
    /// - Parameters:
    ///   - key: Its key.
    ///   - version: The version of the deletion, higher than that of the last change.
    /// - Returns: The change.
    public static func delete(_ key: String, version: Int64) -> ReplicaChange {
        ReplicaChange(key: key, version: version, entity: nil)
    }
}
