// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Which dead letters are to be sent again, and how carefully.
///
/// ```swift
/// var request = RedriveRequest(DeadLetterFilter(reason: .timeoutOrNetwork, consumer: "payments"))
/// request.canary = 5
/// request.lettersPerSecond = 100
/// print(try await letters.plan(request).total)
/// let job = try await letters.redrive(request)
/// ```
public struct RedriveRequest: Sendable, Hashable, Codable {
    /// The most letters that go ahead of the others.
    public static let mostCanaries = 1000

    /// Which letters, of those that are there at the moment of asking.
    public var filter: DeadLetterFilter

    /// How many letters go ahead of the others; none if 0.
    ///
    /// If one of them is back among the dead letters within ``canaryWait``, the redrive stops.
    public var canary: Int

    /// How long to watch those that went ahead; longer than their consumer needs for all of its attempts.
    public var canaryWait: Duration

    /// The most letters in a second; as fast as it goes if `nil`.
    public var lettersPerSecond: Int?

    /// The most letters that are published at once and leave in one transaction.
    public var batchSize: Int

    /// Whether messages that were of use until a certain time are sent without it.
    public var dropsExpiry: Bool

    /// Who asks for it, and why.
    public var note: String

    /// Creates a request.
    ///
    /// - Parameters:
    ///   - filter: Which letters.
    ///   - canary: How many letters go ahead of the others.
    ///   - canaryWait: How long to watch those that went ahead.
    ///   - lettersPerSecond: The most letters in a second; as fast as it goes if `nil`.
    ///   - batchSize: The most letters that are published at once.
    ///   - dropsExpiry: Whether messages that were of use until a certain time are sent without it.
    ///   - note: Who asks for it, and why.
    public init(
        _ filter: DeadLetterFilter = .all, canary: Int = 0, canaryWait: Duration = .seconds(60),
        lettersPerSecond: Int? = nil, batchSize: Int = 100, dropsExpiry: Bool = false, note: String = ""
    ) {
        self.filter = filter
        self.canary = canary
        self.canaryWait = canaryWait
        self.lettersPerSecond = lettersPerSecond
        self.batchSize = batchSize
        self.dropsExpiry = dropsExpiry
        self.note = note
    }

    func validate() throws {
        func refuse(_ message: String) -> DeadLetterError { DeadLetterError(.invalidRequest, message) }
        guard (0...Self.mostCanaries).contains(canary) else {
            throw refuse("From 0 to \(Self.mostCanaries) letters can go ahead, not \(canary).")
        }
        if let lettersPerSecond, lettersPerSecond < 1 {
            throw refuse("At least 1 letter a second is needed, not \(lettersPerSecond). To stop a redrive, cancel it.")
        }
        guard (1...10_000).contains(batchSize) else {
            throw refuse("From 1 to 10,000 letters can be published at once, not \(batchSize).")
        }
        guard canaryWait >= .zero else { throw refuse("The time to watch those that went ahead is negative.") }
    }
}

/// What a redrive would do, without doing it.
public struct RedrivePlan: Sendable {
    /// How many letters are meant.
    public let total: Int

    /// The first of them.
    public let examples: [DeadLetter]

    /// How many of the examples hold no message and would stay.
    public var undecodableExamples: Int { examples.filter { $0.envelope == nil }.count }

    /// How long it takes at the rate asked for, without what the transport needs; `nil` if no rate was asked for.
    public let duration: Duration?

    /// The redrives under way that may mean the same letters: while there is one, this one would be refused.
    public let conflicts: [RedriveJob]
}
