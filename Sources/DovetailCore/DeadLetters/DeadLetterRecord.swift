// SPDX-License-Identifier: Apache-2.0

/// How a letter left the dead letters.
///
/// Open, as stores keep the text.
public struct DeadLetterExit: TextValue {
    /// The name.
    public let rawValue: String

    /// Creates a way with this name.
    ///
    /// - Parameter rawValue: The name.
    public init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// Its message was sent again as it was.
    public static let redriven: DeadLetterExit = "redriven"

    /// A new message, made from it by a person, was sent in its place.
    public static let edited: DeadLetterExit = "edited"

    /// A person decided that it is not needed.
    public static let discarded: DeadLetterExit = "discarded"

    /// It was kept as long as letters are to be kept.
    public static let swept: DeadLetterExit = "swept"
}

/// Why letters are removed, to be kept with what is remembered of them.
public struct DeadLetterRemoval: Sendable, Hashable {
    /// How they leave.
    public var exit: DeadLetterExit

    /// When.
    public var time: Timestamp

    /// The redrive that removes them, if one does.
    public var job: String?

    /// What a person has to say about it, redacted; such as who did it and why, or the message that takes their place.
    public var note: String

    /// Creates a removal.
    ///
    /// - Parameters:
    ///   - exit: How they leave.
    ///   - time: When.
    ///   - job: The redrive that removes them.
    ///   - note: What a person has to say about it.
    public init(_ exit: DeadLetterExit, at time: Timestamp, job: String? = nil, note: String = "") {
        self.exit = exit
        self.time = time
        self.job = job
        self.note = note
    }
}

/// What is remembered of a letter that has left: not its payload, but what happened to its message.
public struct DeadLetterRecord: Sendable, Hashable {
    /// The letter.
    public let letter: String

    /// Its message; empty for bytes that are no message.
    public let message: MessageID

    /// The consumer or relay that gave up.
    public let consumer: String

    /// Why it was a dead letter.
    public let reason: DeadLetterReason

    /// How often it was tried.
    public let attempts: Int

    /// The failure, with no more text than ``FailureDetail/mostBytesInFlight``.
    public let failure: FailureDetail

    /// When it was given up.
    public let time: Timestamp

    /// How, when and why it left.
    public let removal: DeadLetterRemoval

    /// Creates a record.
    ///
    /// - Parameters:
    ///   - letter: The letter.
    ///   - message: Its message.
    ///   - consumer: The consumer or relay that gave up.
    ///   - reason: Why it was a dead letter.
    ///   - attempts: How often it was tried.
    ///   - failure: The failure.
    ///   - time: When it was given up.
    ///   - removal: How, when and why it left.
    public init(
        letter: String, message: MessageID, consumer: String, reason: DeadLetterReason, attempts: Int,
        failure: FailureDetail, time: Timestamp, removal: DeadLetterRemoval
    ) {
        self.letter = letter
        self.message = message
        self.consumer = consumer
        self.reason = reason
        self.attempts = attempts
        self.failure = failure
        self.time = time
        self.removal = removal
    }

    /// Creates the record of a letter.
    ///
    /// - Parameters:
    ///   - letter: The letter.
    ///   - removal: How, when and why it leaves.
    public init(of letter: DeadLetter, removal: DeadLetterRemoval) {
        self.init(
            letter: letter.id, message: letter.envelope?.attributes.id ?? "", consumer: letter.consumer,
            reason: letter.reason, attempts: letter.attempts, failure: letter.failure.inFlight, time: letter.time,
            removal: removal)
    }
}
