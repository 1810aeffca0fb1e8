// SPDX-License-Identifier: Apache-2.0

/// Takes the messages that consumers and relays give up on.
///
/// A consumer settles a message only after its letter was captured, so nothing leaves the flow silently: a sink that
/// throws keeps the message where it was.
public protocol DeadLetterSink: Sendable {
    /// Keeps letters.
    ///
    /// - Parameter letters: The letters.
    /// - Throws: ``DatabaseError`` if they could not be kept.
    func capture(_ letters: [DeadLetter]) async throws
}

/// Says in which queue a dead letter is kept, and how urgent it is.
///
/// ```swift
/// let perTenant = DeadLetterSorting { letter in
///     (queue: letter.tenant.map { DeadLetterQueueName("tenant-\($0)") } ?? .main, tier: isGold(letter.tenant) ? "gold" : .standard)
/// }
/// let letters = DeadLetterQueue(in: database, sorting: perTenant)
/// ```
public struct DeadLetterSorting: Sendable {
    private let rule: @Sendable (DeadLetter) -> (queue: DeadLetterQueueName, tier: DeadLetterTier)

    /// Creates a sorting.
    ///
    /// - Parameter rule: Names the queue and the tier of a letter.
    public init(_ rule: @escaping @Sendable (DeadLetter) -> (queue: DeadLetterQueueName, tier: DeadLetterTier)) {
        self.rule = rule
    }

    /// All letters in one queue and tier.
    ///
    /// - Parameters:
    ///   - queue: The queue.
    ///   - tier: The tier.
    /// - Returns: The sorting.
    public static func all(in queue: DeadLetterQueueName, tier: DeadLetterTier = .standard) -> DeadLetterSorting {
        DeadLetterSorting { _ in (queue, tier) }
    }

    /// The letters of each tenant in a queue of the tenant's name; those without a tenant in the main one.
    ///
    /// - Parameter tier: Names the tier of a tenant.
    /// - Returns: The sorting.
    public static func byTenant(
        tier: @escaping @Sendable (TenantID) -> DeadLetterTier = { _ in .standard }
    ) -> DeadLetterSorting {
        DeadLetterSorting { letter in
            guard let tenant = letter.tenant else { return (.main, .standard) }
            return (DeadLetterQueueName(tenant.rawValue), tier(tenant))
        }
    }

    /// Puts a letter where it belongs.
    ///
    /// - Parameter letter: The letter.
    /// - Returns: The letter with its queue and tier.
    public func sorted(_ letter: DeadLetter) -> DeadLetter {
        var sorted = letter
        (sorted.queue, sorted.tier) = rule(letter)
        return sorted
    }
}
