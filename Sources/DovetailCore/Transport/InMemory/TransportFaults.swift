// SPDX-License-Identifier: Apache-2.0

/// What goes wrong in an ``InMemoryTransport``, and how often.
///
/// Each share is a probability from 0 to 1. The dice come from the runtime's random numbers, so that a run with the same seed
/// has the same faults.
///
/// ```swift
/// transport.setFaults(TransportFaults(publishFails: 0.1, duplicate: 0.2, lose: 0.05))
/// ```
public struct TransportFaults: Sendable, Hashable {
    /// The share of envelopes whose publish fails.
    public var publishFails: Double

    /// The share of failed envelopes that are stored all the same, as when the answer of a broker is lost.
    public var storedAnyway: Double

    /// The share of messages that come twice, the second time while the first may still be handled.
    public var duplicate: Double

    /// The share of messages that come late; later messages of their key wait for them.
    public var delay: Double

    /// The longest time by which a message comes late.
    public var longestDelay: Duration

    /// The share of messages that later ones overtake, also of the same key.
    ///
    /// This breaks the order that the transport
    /// otherwise keeps; see ``keepsOrderOfKeys``.
    public var reorder: Double

    /// Whether only messages without a key are overtaken, which have no order to keep.
    public var keepsOrderOfKeys: Bool

    /// The share of deliveries that vanish on their way to the member and come again after the transport's redelivery delay.
    ///
    /// Later messages of their key wait for them.
    public var lose: Double

    /// Creates faults; none unless named.
    ///
    /// - Parameters:
    ///   - publishFails: The share of envelopes whose publish fails.
    ///   - storedAnyway: The share of failed envelopes that are stored all the same.
    ///   - duplicate: The share of messages that come twice.
    ///   - delay: The share of messages that come late.
    ///   - longestDelay: The longest time by which a message comes late.
    ///   - reorder: The share of messages that later ones overtake.
    ///   - keepsOrderOfKeys: Whether only messages without a key are overtaken.
    ///   - lose: The share of deliveries that vanish and come again later.
    public init(
        publishFails: Double = 0,
        storedAnyway: Double = 0.5,
        duplicate: Double = 0,
        delay: Double = 0,
        longestDelay: Duration = .milliseconds(100),
        reorder: Double = 0,
        keepsOrderOfKeys: Bool = false,
        lose: Double = 0
    ) {
        self.publishFails = publishFails
        self.storedAnyway = storedAnyway
        self.duplicate = duplicate
        self.delay = delay
        self.longestDelay = longestDelay
        self.reorder = reorder
        self.keepsOrderOfKeys = keepsOrderOfKeys
        self.lose = lose
    }

    /// Nothing goes wrong.
    public static let none = TransportFaults()

    /// Whether a simulation may keep some services from hearing of others.
    var mayPartServices = false

    var isActive: Bool {
        mayPartServices || publishFails > 0 || duplicate > 0 || delay > 0 || reorder > 0 || lose > 0
    }
}

/// The faults of one call, with dice of its own from a seed that was drawn before any lock was taken, or decided by a simulation.
struct FaultDice: Sendable {
    let faults: TransportFaults
    private let probe: (any SimulationProbe)?
    /// Who publishes, or the group that reads.
    private let party: String
    /// The service that reads.
    private let reader: String
    private var state: UInt64

    init(_ faults: TransportFaults, seed: UInt64) {
        self.faults = faults
        probe = nil
        party = ""
        reader = ""
        state = seed
    }

    init(_ faults: TransportFaults, probe: any SimulationProbe, party: String, reader: String) {
        self.faults = faults
        self.probe = probe
        self.party = party
        self.reader = reader
        state = 0
    }

    /// Decides whether a publish fails, and whether the message is stored all the same.
    mutating func publishFault() -> (TransportError, isStored: Bool)? {
        let isStored: Bool
        if let probe {
            // Two faults, so that each can be left out by itself.
            let unanswered = faults.publishFails * faults.storedAnyway
            if probe.choose("publish-unanswered", at: party, share: unanswered) != nil {
                isStored = true
            } else {
                let refused = faults.publishFails * (1 - faults.storedAnyway)
                guard probe.choose("publish-refused", at: party, share: refused) != nil else { return nil }
                isStored = false
            }
        } else {
            guard chance(faults.publishFails) else { return nil }
            isStored = chance(faults.storedAnyway)
        }
        if isStored {
            let text = "A fault that was set let the publish time out. Publish the message again."
            return (TransportError(.timedOut, text), true)
        }
        return (
            TransportError(.unavailable, "A fault that was set made the publish fail. Publish the message again."),
            false
        )
    }

    /// Decides about a message on its way to a group.
    ///
    /// - Returns: A number between 0 and 1, 1 excluded, to draw an amount from; `nil` if nothing goes wrong.
    mutating func deliveryFault(_ kind: StaticString, _ share: Double, of topic: Topic) -> Double? {
        guard share > 0 else { return nil }
        if let probe { return probe.choose(kind, at: "\(party)/\(topic)", share: share).map { FaultDice.unit($0) } }
        return chance(share) ? unit() : nil
    }

    /// Until when a message does not get through to the reader; `nil` if it does.
    func heldUp(_ message: StoredMessage) -> MonotonicInstant? {
        guard faults.mayPartServices, let probe, case .envelope(let envelope) = message else { return nil }
        return probe.heldUp(envelope.attributes.id, for: reader)
    }

    /// Decides with a probability; 0 throws no dice.
    private mutating func chance(_ probability: Double) -> Bool {
        probability > 0 && unit() < probability
    }

    private static func unit(_ bits: UInt64) -> Double { Double(bits >> 11) * 0x1p-53 }

    /// A number between 0 and 1, 1 excluded, by SplitMix64 as in ``SeededRandom``.
    private mutating func unit() -> Double {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return Self.unit(mixed ^ (mixed >> 31))
    }
}
