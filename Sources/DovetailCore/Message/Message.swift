// SPDX-License-Identifier: Apache-2.0

/// A value that one service sends and others receive.
///
/// Declare an ``Event`` for something that happened and a ``Command`` for something that is to be done.
public protocol Message: Codable, Sendable {
    /// The name of this kind of message, in reverse-DNS form.
    static var type: MessageType { get }

    /// The version of its shape. `1` unless declared.
    static var version: MessageVersion { get }

    /// The topic it goes to. The one named like its type unless declared.
    static var topic: Topic { get }

    /// What it keeps its order by; `nil`, the default, for a message whose order does not matter.
    var partitionKey: PartitionKey? { get }
}

extension Message {
    /// The version `1`.
    public static var version: MessageVersion { 1 }

    /// The topic named like the type.
    public static var topic: Topic { Topic(type.rawValue) }

    /// No key: the order does not matter.
    public var partitionKey: PartitionKey? { nil }
}

/// A fact: something that happened, which any number of readers may want to know.
///
/// ```swift
/// struct OrderPlaced: Event {
///     static let type: MessageType = "shop.order.placed"
///     let orderID: String, sku: String, cents: Int
///     var partitionKey: PartitionKey? { PartitionKey(orderID) }
/// }
/// ```
public protocol Event: Message {}

/// An order to do something, addressed to the one service that does it.
///
/// A command has one consumer group; it is sent, not announced. Its sender may ask for a ``Reply``.
///
/// ```swift
/// struct ReserveStock: Command {
///     static let type: MessageType = "shop.stock.reserve"
///     typealias Reply = StockReserved
///     let orderID: String, sku: String, quantity: Int
/// }
/// ```
public protocol Command: Message {
    /// What answers the command; ``NoReply`` if nothing does.
    associatedtype Reply: Message = NoReply
}

/// The reply of a command that has none.
public struct NoReply: Message {
    /// The name of this kind of message.
    public static let type: MessageType = "dovetail.no-reply"

    /// Creates the reply.
    public init() {}
}

/// An older version of a message that can be turned into the version readers are written for.
///
/// ```swift
/// struct OrderPlacedV1: LiftableMessage {
///     static let type: MessageType = "shop.order.placed"       // the same type, version 1
///     let orderID: String, euros: Int
///     func lifted() -> OrderPlaced { OrderPlaced(orderID: orderID, cents: euros * 100) }
/// }
/// ```
public protocol LiftableMessage: Message {
    /// The newer message.
    associatedtype Lifted: Message

    /// Turns this message into the newer one.
    ///
    /// - Returns: The newer message, with the same meaning.
    /// - Throws: Whatever says that this message has no counterpart; the message then counts as undecodable.
    func lifted() throws -> Lifted
}
