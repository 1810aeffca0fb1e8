// SPDX-License-Identifier: Apache-2.0

/// What a transport can do beyond delivering at least once.
///
/// ```swift
/// let capabilities = TransportCapabilities(ordersPerKey: true, mostMessageBytes: 1_000_000)
/// ```
public struct TransportCapabilities: Sendable, Hashable {
    /// Messages of a key are delivered in the order they were published, one member of a group at a time.
    public var ordersPerKey: Bool

    /// The order per key also holds for messages published by overlapping calls, one of which failed.
    public var ordersUnderFailedPublishes: Bool

    /// ``Settlement/Outcome/retry(after:)`` is honoured with its delay; otherwise the delivery comes again at once.
    public var delaysDelivery: Bool

    /// Deliveries say how often the message was delivered to the group, also after a member was lost.
    public var countsDeliveries: Bool

    /// A delivery that was released, see ``Settlement/Outcome/release``, does not count as one.
    public var releasesUncounted: Bool

    /// A group that joins late can read messages that other groups have read already.
    public var replays: Bool

    /// The transport itself keeps what was rejected.
    public var keepsRejected: Bool

    /// The largest message it takes, in bytes of payload and attributes together; `nil` for no limit.
    public var mostMessageBytes: Int?

    /// The most bytes of attributes and headers it takes; `nil` for no limit.
    public var mostHeaderBytes: Int?

    /// Creates a set of capabilities; none unless named.
    ///
    /// - Parameters:
    ///   - ordersPerKey: Messages of a key are delivered in order.
    ///   - ordersUnderFailedPublishes: Also when a publish failed.
    ///   - delaysDelivery: Delays of retries are honoured.
    ///   - countsDeliveries: Deliveries are counted.
    ///   - releasesUncounted: Deliveries that were released are not counted.
    ///   - replays: A late group can read what others have read.
    ///   - keepsRejected: What was rejected is kept.
    ///   - mostMessageBytes: The largest message, in bytes.
    ///   - mostHeaderBytes: The most bytes of attributes and headers.
    public init(
        ordersPerKey: Bool = false,
        ordersUnderFailedPublishes: Bool = false,
        delaysDelivery: Bool = false,
        countsDeliveries: Bool = false,
        releasesUncounted: Bool = false,
        replays: Bool = false,
        keepsRejected: Bool = false,
        mostMessageBytes: Int? = nil,
        mostHeaderBytes: Int? = nil
    ) {
        self.ordersPerKey = ordersPerKey
        self.ordersUnderFailedPublishes = ordersUnderFailedPublishes
        self.delaysDelivery = delaysDelivery
        self.countsDeliveries = countsDeliveries
        self.releasesUncounted = releasesUncounted
        self.replays = replays
        self.keepsRejected = keepsRejected
        self.mostMessageBytes = mostMessageBytes
        self.mostHeaderBytes = mostHeaderBytes
    }
}
