// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Something that is wrong with a ``Choreography``, or with code that does not keep to it.
public struct ChoreographyProblem: Sendable, Hashable, CustomStringConvertible {
    /// What kind of problem it is.
    ///
    /// New kinds may be added in minor versions.
    public struct Kind: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case noBeginning, noEnd, duplicateHop, tooLarge
            case unreadEvent, neverEmitted, unsetDeadline, unreachableHop, deadEnd, endlessCycle
            case uncompensated, foreignUndo, undoesNothing, conflictingEnds
            case undeclaredReaction, missingReaction, unknownParticipant, undeclaredHop
        }
        private let base: Base

        /// No hop begins a conversation.
        public static let noBeginning = Kind(base: .noBeginning)

        /// No hop ends a conversation.
        public static let noEnd = Kind(base: .noEnd)

        /// Two hops of one participant wait for the same.
        public static let duplicateHop = Kind(base: .duplicateHop)

        /// There are too many ways through to look at each.
        public static let tooLarge = Kind(base: .tooLarge)

        /// Nobody reads an event that is emitted.
        public static let unreadEvent = Kind(base: .unreadEvent)

        /// A hop waits for an event that nobody emits.
        public static let neverEmitted = Kind(base: .neverEmitted)

        /// A deadline is set with an event that its participant neither reads nor emits.
        public static let unsetDeadline = Kind(base: .unsetDeadline)

        /// No way through comes to a hop.
        public static let unreachableHop = Kind(base: .unreachableHop)

        /// A way through stops before an end.
        public static let deadEnd = Kind(base: .deadEnd)

        /// Events go round and nothing leads out.
        public static let endlessCycle = Kind(base: .endlessCycle)

        /// Something fails, and what was done before is not undone.
        public static let uncompensated = Kind(base: .uncompensated)

        /// A participant undoes what another did.
        public static let foreignUndo = Kind(base: .foreignUndo)

        /// A hop undoes what nobody does.
        public static let undoesNothing = Kind(base: .undoesNothing)

        /// Two participants can end the same conversation differently.
        public static let conflictingEnds = Kind(base: .conflictingEnds)

        /// A participant's code reacts to what the flow does not say.
        public static let undeclaredReaction = Kind(base: .undeclaredReaction)

        /// A participant's code lacks a reaction that the flow declares.
        public static let missingReaction = Kind(base: .missingReaction)

        /// The flow does not know the participant.
        public static let unknownParticipant = Kind(base: .unknownParticipant)

        /// A message was emitted where the flow does not say so.
        public static let undeclaredHop = Kind(base: .undeclaredHop)

        /// The name of the kind.
        public var description: String { base.rawValue }
    }

    /// What kind of problem it is.
    public let kind: Kind

    /// What is wrong, with whom, and what to do about it.
    public let message: String

    /// The participants it is about.
    public let participants: [String]

    /// The events it is about.
    public let events: [MessageType]

    /// The kind and the message in one line.
    public var description: String { "\(kind): \(message)" }

    init(_ kind: Kind, _ message: String, participants: [String] = [], events: [FlowEvent] = []) {
        self.kind = kind
        self.message = message
        self.participants = participants
        self.events = events.map(\.type)
    }
}
