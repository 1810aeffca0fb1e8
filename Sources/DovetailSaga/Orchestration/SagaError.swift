// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A saga that could not be declared, started or operated as it was asked.
public struct SagaError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case invalidPlan, duplicateSaga, unknownSaga, unknownInstance, inputMismatch, undecodableState
            case unencodableState, pastPivot, alreadyEnded, notParked, cannotResume, locked, timedOut, stepMissing
        }
        private let base: Base

        /// The steps of a saga do not make a plan; the message names the step.
        public static let invalidPlan = Code(base: .invalidPlan)

        /// Two sagas of one name and version were given to an engine.
        public static let duplicateSaga = Code(base: .duplicateSaga)

        /// The engine does not know the saga.
        public static let unknownSaga = Code(base: .unknownSaga)

        /// There is no saga of this identifier.
        public static let unknownInstance = Code(base: .unknownInstance)

        /// A saga of this identifier was started with another input, or is another saga.
        public static let inputMismatch = Code(base: .inputMismatch)

        /// A stored state is not of the type that the saga declares.
        public static let undecodableState = Code(base: .undecodableState)

        /// A state or the outcome of a step could not be turned into bytes.
        public static let unencodableState = Code(base: .unencodableState)

        /// The saga is past its pivot and goes forward only.
        public static let pastPivot = Code(base: .pastPivot)

        /// The saga has come to its end.
        public static let alreadyEnded = Code(base: .alreadyEnded)

        /// The saga is not parked, and the verb is for one that is.
        public static let notParked = Code(base: .notParked)

        /// The saga cannot go on from there.
        public static let cannotResume = Code(base: .cannotResume)

        /// Another saga holds the semantic lock.
        public static let locked = Code(base: .locked)

        /// A step took longer than it may.
        public static let timedOut = Code(base: .timedOut)

        /// A saga has a record of a step that its definition does not have.
        public static let stepMissing = Code(base: .stepMissing)

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// What kind of failure it is.
    public let code: Code

    /// What went wrong and what to do about it.
    public let message: String

    /// What led to it, if something did.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: What kind of failure it is.
    ///   - message: What went wrong and what to do about it.
    ///   - cause: What led to it.
    public init(_ code: Code, _ message: String, cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.cause = cause
    }

    /// The code, the message and the cause in one line.
    public var description: String {
        cause.map { "\(code): \(message) (\($0))" } ?? "\(code): \(message)"
    }
}

extension SagaError: ClassifiedError {
    /// Waiting helps where another is in the way or time ran out.
    public var failureClass: FailureClass { code == .locked || code == .timedOut ? .transient : .permanent }
}

/// What a step throws to refuse: it did nothing, and what was done before it is to be undone.
///
/// Any other error says only that the step failed; whether it did something is then not known, so it is tried again and, when
/// its attempts are used up, undone along with the steps before it.
///
/// ```swift
/// Step("payment", into: \.payment) { state, step in
///     guard let payment = try await payments.authorise(state.cents, key: step.idempotencyKey) else {
///         throw SagaAbort("The card was declined.")
///     }
///     return payment
/// }
/// ```
public struct SagaAbort: Error, Sendable, Hashable, CustomStringConvertible {
    /// Why the step refuses, for people.
    public let reason: String

    /// Creates a refusal.
    ///
    /// - Parameter reason: Why the step refuses, for people.
    public init(_ reason: String) {
        self.reason = reason
    }

    /// The reason.
    public var description: String { reason }
}
