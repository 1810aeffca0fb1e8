// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
public import DovetailCore

/// A step of a ``Saga`` that sends a command and waits for its reply.
///
/// ```swift
/// Ask("reserve", into: \.reservation, within: .seconds(30)) { state, step in
///     ReserveStock(orderID: state.order.id, sku: state.order.sku)
/// } reply: { reply in
///     guard let reservation = reply.reservation else { throw SagaAbort("Out of stock.") }
///     return reservation
/// } compensate: { state, step in
///     try await step.send(ReleaseStock(orderID: state.order.id))
/// }
/// ```
///
/// The command leaves through the outbox, in the commit that ends the step before, and the saga waits in the database: no program need
/// stay alive meanwhile. A reply that does not come in time has the same command sent again, under the same identifier.
///
/// Replies come in through ``SagaEngine/routes``, which a `Consumer` has to have.
public struct Ask<State: Codable & Sendable>: Sendable {
    let step: Step<State>

    /// Creates a step that asks, before the pivot.
    ///
    /// - Parameters:
    ///   - name: Names the step within its saga, for good.
    ///   - path: Where to store what came of it.
    ///   - limit: How long to wait for a reply before the command is sent again, or given up.
    ///   - attempts: How often it is sent at most. After that the saga is undone, and this step with it, since the command may have been
    ///     carried out.
    ///   - command: Makes the command. It may be called again if the program ends before the command is stored.
    ///   - reply: Takes out of the reply what is to be stored. It may throw ``SagaAbort`` if the reply is a refusal.
    ///   - undo: Undoes it; `nil` for a command that leaves nothing behind.
    public init<C: Command, Output: Codable & Sendable>(
        _ name: String, into path: any WritableKeyPath<State, Output> & Sendable, within limit: Duration,
        attempts: Int = 3,
        _ command: @escaping @Sendable (State, StepContext) throws -> C,
        reply: @escaping @Sendable (C.Reply) throws -> Output,
        compensate undo: Step<State>.Body<Void>? = nil
    ) {
        self.init(name, .compensatable, into: path, within: limit, attempts: attempts, command, reply, undo)
    }

    /// Creates the step that decides, by asking.
    ///
    /// - Parameters:
    ///   - name: Names the step within its saga, for good.
    ///   - path: Where to store what came of it.
    ///   - limit: How long to wait for a reply before the command is sent again.
    ///   - attempts: How often it is sent at most. After that the saga is parked.
    ///   - command: Makes the command.
    ///   - reply: Takes out of the reply what is to be stored. It may throw ``SagaAbort`` if the reply is a refusal.
    public init<C: Command, Output: Codable & Sendable>(
        pivot name: String, into path: any WritableKeyPath<State, Output> & Sendable, within limit: Duration,
        attempts: Int = 10,
        _ command: @escaping @Sendable (State, StepContext) throws -> C,
        reply: @escaping @Sendable (C.Reply) throws -> Output
    ) {
        self.init(name, .pivot, into: path, within: limit, attempts: attempts, command, reply, nil)
    }

    /// Creates a step that asks until it is answered, after the pivot.
    ///
    /// - Parameters:
    ///   - name: Names the step within its saga, for good.
    ///   - path: Where to store what came of it.
    ///   - limit: How long to wait for a reply before the command is sent again.
    ///   - attempts: How often it is sent at most. After that the saga is parked.
    ///   - command: Makes the command.
    ///   - reply: Takes out of the reply what is to be stored.
    public init<C: Command, Output: Codable & Sendable>(
        retriable name: String, into path: any WritableKeyPath<State, Output> & Sendable, within limit: Duration,
        attempts: Int = 100,
        _ command: @escaping @Sendable (State, StepContext) throws -> C,
        reply: @escaping @Sendable (C.Reply) throws -> Output
    ) {
        self.init(name, .retriable, into: path, within: limit, attempts: attempts, command, reply, nil)
    }

    private init<C: Command, Output: Codable & Sendable>(
        _ name: String, _ role: StepRole, into path: any WritableKeyPath<State, Output> & Sendable,
        within limit: Duration, attempts: Int,
        _ command: @escaping @Sendable (State, StepContext) throws -> C,
        _ reply: @escaping @Sendable (C.Reply) throws -> Output,
        _ undo: Step<State>.Body<Void>?
    ) {
        let body = AskBody<State>(
            source: MessageSourceOfWait(type: C.Reply.type, version: C.Reply.version, topic: "") { incoming in
                let answer = try await incoming.decode(C.Reply.self)
                return (try SagaJSON.encode(answer, what: "a reply of type '\(C.Reply.type)'"), nil)
            },
            limit: max(.milliseconds(1), limit), attempts: max(1, attempts),
            envelope: { state, step, factory, options in
                try await factory.envelope(for: try command(state, step), options: options)
            },
            accept: { bytes in
                let answer = try SagaJSON.decode(
                    C.Reply.self, from: bytes, what: "a reply of type '\(C.Reply.type)'")
                return StepResult(try reply(answer), into: path)
            }
        )
        step = Step(.leaf(StepLeaf(name, role, .ask(body), undo: undo)))
    }
}

/// What a command asks and how its reply is taken.
struct AskBody<State: Codable & Sendable>: Sendable {
    let source: MessageSourceOfWait
    let limit: Duration
    let attempts: Int
    let envelope: @Sendable (State, StepContext, EnvelopeFactory, PublishOptions) async throws -> Envelope<Bytes>
    let accept: @Sendable (Bytes) throws -> StepResult<State>
}
