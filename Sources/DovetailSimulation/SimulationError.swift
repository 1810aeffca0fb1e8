// SPDX-License-Identifier: Apache-2.0

/// A simulation that did not end as it should, with what is needed to see it happen again.
public struct SimulationError: Error, Sendable, CustomStringConvertible {
    /// What kind of failure it is.
    ///
    /// New codes may be added in minor versions.
    public struct Code: Sendable, Hashable, CustomStringConvertible {
        private enum Base: String, Sendable {
            case stalled, escapedWork, limitReached, bodyFailed, serviceFailed, alreadyRunning, notRunning,
                unknownService, invariantBroken
        }
        private let base: Base

        /// Nothing could go on although the body had not ended: no job was ready, nobody slept, no other thread came back.
        public static let stalled = Code(base: .stalled)

        /// Work that the simulation does not run touched its world: unstructured tasks, or code on another thread.
        public static let escapedWork = Code(base: .escapedWork)

        /// The run took more jobs or more virtual time than its limits allow.
        public static let limitReached = Code(base: .limitReached)

        /// The body threw; its error is the cause.
        public static let bodyFailed = Code(base: .bodyFailed)

        /// A service threw other than by being cancelled; its error is the cause.
        public static let serviceFailed = Code(base: .serviceFailed)

        /// The simulation is running already.
        public static let alreadyRunning = Code(base: .alreadyRunning)

        /// What was called has a meaning only within the body of a run.
        public static let notRunning = Code(base: .notRunning)

        /// There is no service of this name.
        public static let unknownService = Code(base: .unknownService)

        /// Something that must hold did not; the message says what.
        public static let invariantBroken = Code(base: .invariantBroken)

        /// The name of the code.
        public var description: String { base.rawValue }
    }

    /// What kind of failure it is.
    public let code: Code

    /// What went wrong and what to do about it.
    public let message: String

    /// The seed under which it happened.
    public let seed: UInt64

    /// What was not done yet when it happened.
    public let inFlight: [String]

    /// What happened before, a line each, if that was recorded.
    public package(set) var history: [String] = []

    /// What led to it, if something did.
    public let cause: (any Error)?

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - code: What kind of failure it is.
    ///   - message: What went wrong and what to do about it.
    ///   - seed: The seed under which it happened.
    ///   - inFlight: What was not done yet when it happened.
    ///   - cause: What led to it.
    public init(_ code: Code, _ message: String, seed: UInt64, inFlight: [String] = [], cause: (any Error)? = nil) {
        self.code = code
        self.message = message
        self.seed = seed
        self.inFlight = inFlight
        self.cause = cause
    }

    /// How to see it happen again.
    ///
    /// Sets and dictionaries are ordered by hashes that change with each process unless the environment says otherwise.
    public var replay: String { Self.replay(seed: seed) }

    static func replay(seed: UInt64) -> String {
        "seed \(seed), with SWIFT_DETERMINISTIC_HASHING=1 in the environment"
    }

    /// The code, the message, what was in flight, the cause, how to replay and what happened before, each on a line.
    public var description: String {
        var lines = ["\(code): \(message)"]
        if !inFlight.isEmpty { lines.append("In flight: " + inFlight.joined(separator: "; ")) }
        if let cause { lines.append("Cause: \(cause)") }
        lines.append("Replay: \(replay)")
        if !history.isEmpty { lines.append("What happened last:") }
        lines += history
        return lines.joined(separator: "\n")
    }
}
