// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// One line of the history of a saga.
///
/// Records are written in the transaction that makes the change they tell of, never changed, and kept after the end of the saga.
public struct SagaRecord: Sendable, Hashable {
    /// What a record tells of.
    ///
    /// Open: a reader must expect kinds it does not know.
    public struct Kind: TextValue {
        /// The name of the kind.
        public let rawValue: String

        /// Creates a kind with this name.
        ///
        /// - Parameter rawValue: The name.
        public init(rawValue: String) {
            self.rawValue = rawValue
        }

        /// The saga was started.
        public static let started: Kind = "started"
        /// A step is to be run; stored before it is.
        public static let stepStarted: Kind = "step-started"
        /// A step was done.
        public static let stepDone: Kind = "step-done"
        /// An attempt failed; whether it did something is not known.
        public static let stepFailed: Kind = "step-failed"
        /// A step refused, and did nothing.
        public static let stepRefused: Kind = "step-refused"
        /// A step is not done because its condition does not hold.
        public static let stepSkipped: Kind = "step-skipped"
        /// A command is sent, and its reply awaited.
        public static let asked: Kind = "asked"
        /// A message is awaited.
        public static let waiting: Kind = "waiting"
        /// A message came.
        public static let received: Kind = "received"
        /// A message did not come in time.
        public static let waitedInVain: Kind = "waited-in-vain"
        /// A pause began.
        public static let sleeping: Kind = "sleeping"
        /// What was done is undone from here on.
        public static let compensating: Kind = "compensating"
        /// A compensation is to be run; stored before it is.
        public static let undoStarted: Kind = "undo-started"
        /// A step was undone.
        public static let undone: Kind = "undone"
        /// An attempt to undo a step failed.
        public static let undoFailed: Kind = "undo-failed"
        /// The saga gave up and waits for a person.
        public static let parked: Kind = "parked"
        /// A person did something about it.
        public static let operated: Kind = "operated"
        /// What a person asked for was not possible any more.
        public static let operationRefused: Kind = "operation-refused"
        /// Another engine went on after the one before had ended in the middle.
        public static let takenOver: Kind = "taken-over"
        /// It was brought to another version of its definition.
        public static let migrated: Kind = "migrated"
        /// All steps are done.
        public static let completed: Kind = "completed"
        /// What was done is undone after a failure.
        public static let compensated: Kind = "compensated"
        /// What was done is undone after a cancellation.
        public static let cancelled: Kind = "cancelled"
    }

    /// The saga.
    public var sagaID: SagaID

    /// Its place in the history of the saga, counted from 1.
    public var number: Int64

    /// When it was written, by the store's clock.
    public var time: Timestamp

    /// What it tells of.
    public var kind: Kind

    /// The step it is about.
    public var step: String?

    /// Which attempt it is about, counted from 1.
    public var attempt: Int?

    /// What happened in words: an error, a reason, what a person asked for; redacted.
    public var detail: String?

    /// What came of the step, JSON text; redacted.
    public var payload: String?

    /// The person who did it.
    public var author: String?

    /// The message that was sent or received.
    public var messageID: MessageID?

    /// Creates a record.
    ///
    /// - Parameters:
    ///   - sagaID: The saga.
    ///   - number: Its place in the history.
    ///   - time: When it was written.
    ///   - kind: What it tells of.
    ///   - step: The step it is about.
    ///   - attempt: Which attempt it is about.
    ///   - detail: What happened in words, redacted.
    ///   - payload: What came of the step, redacted.
    ///   - author: The person who did it.
    ///   - messageID: The message that was sent or received.
    public init(
        sagaID: SagaID, number: Int64, time: Timestamp, kind: Kind, step: String? = nil, attempt: Int? = nil,
        detail: String? = nil, payload: String? = nil, author: String? = nil, messageID: MessageID? = nil
    ) {
        self.sagaID = sagaID
        self.number = number
        self.time = time
        self.kind = kind
        self.step = step
        self.attempt = attempt
        self.detail = detail
        self.payload = payload
        self.author = author
        self.messageID = messageID
    }
}
