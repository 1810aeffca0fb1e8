// SPDX-License-Identifier: Apache-2.0

import DovetailConsumer
import DovetailCore
import DovetailOutbox

/// A saga that is being worked on.
struct HeldSaga: Sendable {
    var row: SagaRow
    var progress: SagaProgress
    var state: any Sendable
    let definition: any SagaDefinition
}

/// The time of a store, told without asking it again.
struct StoreClock: Sendable {
    private let base: Timestamp
    private let start: MonotonicInstant
    private let time: any TimeSource

    init(_ now: Timestamp, time: any TimeSource) {
        base = now
        start = time.monotonic()
        self.time = time
    }

    var now: Timestamp { base + (time.monotonic() - start) }
}

/// What came of an attempt.
enum StepEnd: Sendable {
    case done(String, StepChange, [Envelope<Bytes>])
    case undone(String, [Envelope<Bytes>])
    case failed(SagaMachine.Task, any Error)
    /// Cut off from outside.
    case interrupted(String)

    var step: String {
        switch self {
        case .done(let step, _, _), .undone(let step, _), .interrupted(let step): step
        case .failed(let task, _): task.step
        }
    }
}

/// Turns what happened into what is written: the part of an engine between its machine and its store.
struct SagaWorkshop<DB: SagaDatabase & OutboxDatabase>: Sendable {
    /// What is to be written and sent, and the saga as it is then.
    struct Turn: Sendable {
        var held: HeldSaga
        var change: SagaChange
        var envelopes: [Envelope<Bytes>] = []
        /// Messages that it does not wait for now, and that others may.
        var returned: [SagaMessage] = []
        /// Whether there is anything to write.
        var isNeeded = true
    }

    let database: DB
    let catalogue: SagaCatalogue
    let settings: SagaEngineSettings
    let repliesTopic: Topic
    let runtime: Runtime

    // MARK: Beginning

    func begin(
        _ definition: any SagaDefinition, id: SagaID, state: any Sendable, businessKey: String?, now: Timestamp,
        lease: Duration?
    ) async throws -> Turn {
        let outline = definition.outline
        let bytes = try definition.encode(state)
        var machine = SagaMachine(
            id: id, outline: outline, environment: try definition.environment(state, of: id), now: now,
            progress: SagaProgress(shape: definition.shape, conversation: .current(for: id)))
        machine.begin(deadline: definition.deadline)
        let row = SagaRow(
            id: id, name: outline.name, version: outline.version, status: .running,
            businessKey: try businessKey ?? definition.businessKey(of: state),
            fingerprint: DeterministicID.make(
                namespace: "dovetail.saga.input", [outline.name, String(decoding: bytes, as: UTF8.self)]),
            state: bytes, progress: [], started: now, changed: now)
        let held = HeldSaga(row: row, progress: machine.progress, state: state, definition: definition)
        return try await finish(
            machine, held, before: [:], state: bytes, lease: lease, isStopping: false)
    }

    // MARK: Going on

    /// Works out what an event and the messages that came lead to.
    func turn(
        _ held: HeldSaga, _ event: StepEnd?, messages: SagaMessages?, inFlight: Set<String>, now: Timestamp,
        isTakenOver: Bool, isStopping: Bool
    ) async throws -> Turn {
        var held = held
        var machine = SagaMachine(
            id: held.row.id, outline: held.definition.outline,
            environment: try held.definition.environment(held.state, of: held.row.id), now: now,
            progress: held.progress,
            inFlight: inFlight.union(event.map { [$0.step] } ?? []))
        if isTakenOver { machine.takenOver(atMost: settings.mostTakeovers) }
        var returned: [SagaMessage] = []
        for message in messages?.messages ?? [] where !take(message, &machine, &held) { returned.append(message) }
        var envelopes: [Envelope<Bytes>] = []
        if let event {
            machine.inFlight.remove(event.step)
            envelopes = try take(event, &machine, &held)
        }
        machine.tick()
        machine.advance()
        if let messages {
            held.row.seen = messages.signals
        }
        let isNeeded =
            event != nil || messages != nil || !machine.isWorth(keeping: isStopping) || !machine.output.isEmpty
            || machine.progress != held.progress
        let before = held.progress.openWaits
        held.progress = machine.progress
        var turn = try await finish(
            machine, held, before: before, state: nil, lease: settings.lease, isStopping: isStopping)
        turn.envelopes = envelopes + turn.envelopes
        turn.returned = returned.filter { $0.wait.type != SagaOrder.type }
        turn.change.taken = messages?.messages.map(\.number) ?? []
        turn.isNeeded = isNeeded
        return turn
    }

    private func finish(
        _ machine: SagaMachine, _ held: HeldSaga, before: [String: String], state: Bytes?, lease: Duration?,
        isStopping: Bool
    ) async throws -> Turn {
        var (held, machine) = (held, machine)
        var envelopes: [Envelope<Bytes>] = []
        for step in machine.output.asks {
            // What was undone in the same breath is not asked for.
            guard machine.progress[step]?.phase == .started else { continue }
            do {
                envelopes.append(try await command(of: step, held, attempt: machine.progress[step]?.attempt ?? 1))
            } catch {
                let failure: SagaMachine.Failure = error is SagaAbort ? .refused : .failed(retryAfter: nil)
                machine.failed(step, failure, text(of: error, step, held.definition))
                machine.advance()
                held.progress = machine.progress
                // What follows from it may ask for something else.
                var rest = machine
                rest.forgetAsks()
                return try await finish(
                    rest, held, before: before, state: state, lease: lease, isStopping: isStopping)
            }
        }
        let after = machine.progress.openWaits
        // A message of one key goes to one step, and others may wait for the next one.
        let (had, has) = (keys(before, held.definition), keys(after, held.definition))
        held.progress = machine.progress
        held.row.status = machine.progress.status
        held.row.step = machine.progress.currentStep
        held.row.reason = machine.progress.parked?.reason ?? machine.progress.reason
        held.row.changed = machine.now
        held.row.state = try state ?? held.definition.encode(held.state)
        held.row.progress = try SagaJSON.encode(machine.progress, what: "the progress of a saga")
        var records = machine.output.records
        for index in records.indices {
            held.row.records += 1
            records[index].number = held.row.records
        }
        return Turn(
            held: held,
            change: SagaChange(
                row: held.row, lease: machine.isWorth(keeping: isStopping) ? lease : nil,
                due: machine.runnable.isEmpty ? machine.nextDue : machine.now, records: records,
                opened: has.filter { !had.contains($0) }, closed: had.filter { !has.contains($0) }),
            envelopes: envelopes)
    }

    /// What steps wait for, each once.
    private func keys(_ waits: [String: String], _ definition: any SagaDefinition) -> [SagaWaitKey] {
        let types = Dictionary(
            (definition.waits + definition.replies).map { ($0.step, $0.source.type) },
            uniquingKeysWith: { first, _ in first })
        var seen: Set<SagaWaitKey> = []
        return waits.sorted { $0.key < $1.key }.compactMap { step, key in
            types[step].map { SagaWaitKey(type: $0, key: key) }
        }
        .filter { seen.insert($0).inserted }
    }

    private func command(of step: String, _ held: HeldSaga, attempt: Int) async throws -> Envelope<Bytes> {
        let context = context(of: step, held, attempt: attempt, outcome: nil)
        var options = PublishOptions(id: held.progress.commandID(of: step, in: held.row.id))
        options.headers = [EnvelopeAttributes.replyToHeader: repliesTopic.rawValue]
        return try await MessageContext.$current.withValue(conversation(of: step, held)) {
            try await held.definition.command(of: step, held.state, context, factory(held), options)
        }
    }

    // MARK: What happened

    private func take(
        _ event: StepEnd, _ machine: inout SagaMachine, _ held: inout HeldSaga
    ) throws -> [Envelope<Bytes>] {
        switch event {
        case .done(let step, let change, let envelopes):
            held.state = try change.apply(held.state)
            machine.environment = try held.definition.environment(held.state, of: held.row.id)
            machine.succeeded(step, payload: payload(change, step, held.definition))
            return envelopes
        case .undone(let step, let envelopes):
            machine.undone(step)
            return envelopes
        case .failed(let task, let error):
            let text = text(of: error, task.step, held.definition)
            let settings = held.definition.settings(of: task.step)
            if task.undo != nil {
                let delay = delay(after: error, attempt: task.attempt, settings?.undoRetry)
                machine.undoFailed(task.step, retryAfter: delay, text)
            } else if error is SagaAbort {
                machine.failed(task.step, .refused, text)
            } else {
                let delay = delay(after: error, attempt: task.attempt, settings?.retry)
                machine.failed(task.step, .failed(retryAfter: delay), text)
            }
            return []
        case .interrupted(let step):
            machine.interrupted(step)
            return []
        }
    }

    /// After how long to try again; `nil` for not at all.
    private func delay(after error: any Error, attempt: Int, _ policy: (any RetryPolicy)?) -> Duration? {
        guard let policy, attempt < policy.attempts, !(error is SagaAbort),
            FailureClassifier().classify(error) != .permanent
        else {
            return nil
        }
        let delay = policy.delay(after: attempt, random: runtime.random)
        return max(delay, (error as? any RetryAfterProviding)?.retryAfter ?? .zero)
    }

    /// - Returns: Whether the saga has taken the message.
    private func take(_ message: SagaMessage, _ machine: inout SagaMachine, _ held: inout HeldSaga) -> Bool {
        if message.wait.type == SagaOrder.type {
            carryOut(message, &machine)
            return true
        }
        let definition = held.definition
        let types = definition.waits + definition.replies
        let step = machine.progress.steps.first { step in
            step.phase == .started && step.key == message.wait.key
                && types.contains { $0.step == step.name && $0.source.type == message.wait.type }
        }
        guard let step, !machine.progress.isFinal else { return false }
        do {
            let change = try definition.accept(step.name, message.payload)
            held.state = try change.apply(held.state)
            machine.environment = try definition.environment(held.state, of: held.row.id)
            machine.succeeded(step.name, payload: payload(change, step.name, definition), message: message.id)
        } catch {
            machine.failed(
                step.name, error is SagaAbort ? .refused : .failed(retryAfter: nil),
                text(of: error, step.name, definition), message: message.id)
        }
        machine.advance()
        return true
    }

    private func carryOut(_ message: SagaMessage, _ machine: inout SagaMachine) {
        do {
            let order = try SagaJSON.decode(SagaOrder.self, from: message.payload, what: "an order of an operator")
            do {
                try machine.carryOut(order)
                machine.advance()
            } catch {
                machine.note(
                    .operationRefused, step: order.step, detail: "\(order.verb.rawValue): \(error.message)",
                    author: order.author)
            }
        } catch {
            machine.note(.operationRefused, detail: "The order cannot be read.")
        }
    }

    // MARK: Texts

    private func payload(_ change: StepChange, _ step: String, _ definition: any SagaDefinition) -> String? {
        guard let output = change.output else { return nil }
        if definition.settings(of: step)?.isRedacted ?? false { return #""(redacted)""# }
        return runtime.redacted(String(decoding: output, as: UTF8.self), of: nil)
    }

    func text(of error: any Error, _ step: String, _ definition: any SagaDefinition) -> String {
        if definition.settings(of: step)?.isRedacted ?? false { return "(redacted)" }
        return FailureDetail(error, of: nil, runtime: runtime).message
    }

    // MARK: Surroundings of a step

    func factory(_ held: HeldSaga) -> EnvelopeFactory {
        EnvelopeFactory(source: MessageSource("/saga/\(held.row.name)"), runtime: runtime)
    }

    func context(of step: String, _ held: HeldSaga, attempt: Int, outcome: StepOutcome?) -> StepContext {
        StepContext(
            sagaID: held.row.id, step: step, attempt: attempt, outcome: outcome,
            idempotencyKey: held.progress.idempotencyKey(of: step, in: held.row.id),
            outgoing: OutgoingMessages(factory: factory(held)))
    }

    /// What is published by a step belongs to the conversation that the saga was started in.
    func conversation(of step: String, _ held: HeldSaga) -> MessageContext {
        let conversation = held.progress.conversation
        var attributes = EnvelopeAttributes(
            id: MessageID(held.progress.idempotencyKey(of: step, in: held.row.id)),
            source: MessageSource("/saga/\(held.row.name)"), type: "dovetail.saga.step")
        attributes.correlationID = CorrelationID(conversation.correlationID)
        attributes.causationID = conversation.causationID.map { MessageID($0) }
        attributes.tenant = conversation.tenant.map { TenantID($0) }
        attributes.trace = conversation.traceParent.flatMap { TraceParent($0) }.map {
            TraceContext(traceParent: $0, traceState: conversation.traceState.flatMap { TraceState($0) })
        }
        attributes.baggage = conversation.baggage.flatMap { Baggage($0) }
        return MessageContext(attributes: attributes, consumer: held.row.name)
    }
}

extension SagaProgress.Conversation {
    /// That of the message being handled, or a new one named like the saga.
    static func current(for id: SagaID) -> Self {
        guard let context = MessageContext.current else { return Self(correlationID: id.rawValue) }
        let attributes = context.attributes
        return Self(
            correlationID: context.correlationID.rawValue, causationID: context.messageID.rawValue,
            tenant: attributes.tenant?.rawValue, traceParent: attributes.trace?.traceParent.text,
            traceState: attributes.trace?.traceState?.text, baggage: attributes.baggage?.text)
    }
}

extension SagaOrder {
    /// The type under which orders of operators are left for a saga.
    static let type: MessageType = "dovetail.saga.order"
}

extension SagaMachine {
    /// Whether an engine has something to do with it now.
    fileprivate func isWorth(keeping isStopping: Bool) -> Bool {
        !inFlight.isEmpty || (!isStopping && !runnable.isEmpty)
    }
}
