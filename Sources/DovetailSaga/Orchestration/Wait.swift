// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
public import DovetailCore

/// A point of a ``Saga`` at which it waits for a message.
///
/// ```swift
/// Wait("confirmation", for: DriverConfirmed.self, by: \.tripID, into: \.driver, within: .seconds(120)) { $0.driverID }
/// ```
///
/// The message finds its saga by a value that it carries: the saga's identifier, or what `matching` says. One that comes before
/// the saga waits for it is kept until it does, for the time that ``SagaEngineSettings/messageRetention`` says.
///
/// A limit is heeded when its time has come. If no engine can look then, a message that is there when one does counts,
/// whether or not it came in time: none that did is turned down because an engine was late.
///
/// Messages come in through ``SagaEngine/routes``, which a `Consumer` has to have.
public struct Wait<State: Codable & Sendable>: Sendable {
    /// What becomes of a saga that waited in vain.
    public struct Timeout: Sendable, Hashable {
        let verdict: SagaOutline.TimeoutVerdict

        /// What was done is undone; not possible after the pivot.
        public static var compensate: Timeout { Timeout(verdict: .compensate) }

        /// It goes on with the next step.
        public static var goOn: Timeout { Timeout(verdict: .goOn) }

        /// It is parked for a person.
        public static var park: Timeout { Timeout(verdict: .park) }
    }

    let step: Step<State>

    /// Waits for a message of which only the coming matters.
    ///
    /// - Parameters:
    ///   - name: Names the wait within its saga, for good.
    ///   - message: The type of message.
    ///   - topic: The topic it comes in; the one of the type if `nil`.
    ///   - key: The value in the message by which it finds its saga.
    ///   - matching: That value in the saga; its identifier if `nil`.
    ///   - limit: How long to wait; for ever if `nil`.
    ///   - timeout: What to do then.
    public init<M: Message>(
        _ name: String, for message: M.Type, from topic: Topic? = nil,
        by key: @escaping @Sendable (M) -> String,
        matching: (@Sendable (State) -> String)? = nil,
        within limit: Duration? = nil, otherwise timeout: Timeout = .compensate
    ) {
        let body = WaitBody<State>(
            message, from: topic, by: key, matching: matching, within: limit, otherwise: timeout
        ) { _ in StepResult() }
        step = Step(.leaf(StepLeaf(name, .passive, .wait(body))))
    }

    /// Waits for a message, and stores what it says.
    ///
    /// - Parameters:
    ///   - name: Names the wait within its saga, for good.
    ///   - message: The type of message.
    ///   - topic: The topic it comes in; the one of the type if `nil`.
    ///   - key: The value in the message by which it finds its saga.
    ///   - matching: That value in the saga; its identifier if `nil`.
    ///   - path: Where to store it.
    ///   - limit: How long to wait; for ever if `nil`.
    ///   - timeout: What to do then.
    ///   - read: Takes out of the message what is to be stored. It may throw ``SagaAbort``, and then what was done is undone.
    public init<M: Message, Output: Codable & Sendable>(
        _ name: String, for message: M.Type, from topic: Topic? = nil,
        by key: @escaping @Sendable (M) -> String,
        matching: (@Sendable (State) -> String)? = nil,
        into path: any WritableKeyPath<State, Output> & Sendable,
        within limit: Duration? = nil, otherwise timeout: Timeout = .compensate,
        _ read: @escaping @Sendable (M) throws -> Output
    ) {
        let body = WaitBody<State>(
            message, from: topic, by: key, matching: matching, within: limit, otherwise: timeout
        ) { StepResult(try read($0), into: path) }
        step = Step(.leaf(StepLeaf(name, .passive, .wait(body))))
    }
}

/// What a wait waits for.
struct WaitBody<State: Codable & Sendable>: Sendable {
    let source: MessageSourceOfWait
    let key: @Sendable (State, SagaID) -> String
    let limit: Duration?
    let timeout: SagaOutline.TimeoutVerdict
    /// Takes the message as it is kept.
    let accept: @Sendable (Bytes) throws -> StepResult<State>
}

extension WaitBody {
    init<M: Message>(
        _ message: M.Type, from topic: Topic?, by key: @escaping @Sendable (M) -> String,
        matching: (@Sendable (State) -> String)?, within limit: Duration?, otherwise timeout: Wait<State>.Timeout,
        accept: @escaping @Sendable (M) throws -> StepResult<State>
    ) {
        let source = MessageSourceOfWait(type: M.type, version: M.version, topic: topic ?? M.topic) { incoming in
            let message = try await incoming.decode(M.self)
            return (try SagaJSON.encode(message, what: "a message of type '\(M.type)'"), key(message))
        }
        self.init(
            source: source, key: { state, id in matching?(state) ?? id.rawValue }, limit: limit,
            timeout: timeout.verdict,
            accept: { bytes in
                try accept(try SagaJSON.decode(M.self, from: bytes, what: "a message of type '\(M.type)'"))
            })
    }
}

/// Where the messages of a wait come from, and how they are read.
struct MessageSourceOfWait: Sendable {
    let type: MessageType
    let version: MessageVersion
    let topic: Topic
    /// The message as it is kept, and what it is found by; no such value for a reply, which is found by its cause.
    let read: @Sendable (IncomingMessage) async throws -> (payload: Bytes, key: String?)
}
