// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A saga as it is stored.
public struct SagaRow: Sendable, Hashable {
    /// Names the saga.
    public var id: SagaID

    /// The kind of saga.
    public var name: String

    /// The version of its definition.
    public var version: Int

    /// How it stands.
    public var status: SagaStatus

    /// The step it is at.
    public var step: String?

    /// What people know it by.
    public var businessKey: String?

    /// Why it is parked, or was undone.
    public var reason: String?

    /// What it was started with, in short.
    public var fingerprint: String

    /// Its state, JSON text in UTF-8.
    public var state: Bytes

    /// How far it has come, in a form of the library's own, JSON text in UTF-8.
    public var progress: Bytes

    /// When it was started.
    public var started: Timestamp

    /// When it last changed.
    public var changed: Timestamp

    /// How many records its history has.
    public var records: Int64

    /// The number of its last claim.
    public var epoch: FencingToken

    /// How many messages were left for it in all.
    public var signals: Int64

    /// How many of them its owner had seen at the last save.
    public var seen: Int64

    /// How often it was claimed since the last save: more than once if an engine ended with it in hand.
    public var claims: Int

    /// Creates a row.
    ///
    /// - Parameters:
    ///   - id: Names the saga.
    ///   - name: The kind of saga.
    ///   - version: The version of its definition.
    ///   - status: How it stands.
    ///   - step: The step it is at.
    ///   - businessKey: What people know it by.
    ///   - reason: Why it is parked, or was undone.
    ///   - fingerprint: What it was started with, in short.
    ///   - state: Its state.
    ///   - progress: How far it has come.
    ///   - started: When it was started.
    ///   - changed: When it last changed.
    ///   - records: How many records its history has.
    ///   - epoch: The number of its last claim.
    ///   - signals: How many messages were left for it in all.
    ///   - seen: How many of them its owner had seen.
    ///   - claims: How often it was claimed since the last save.
    public init(
        id: SagaID, name: String, version: Int, status: SagaStatus, step: String? = nil, businessKey: String? = nil,
        reason: String? = nil, fingerprint: String, state: Bytes, progress: Bytes, started: Timestamp,
        changed: Timestamp, records: Int64 = 0, epoch: FencingToken = FencingToken(number: 0), signals: Int64 = 0,
        seen: Int64 = 0, claims: Int = 0
    ) {
        self.id = id
        self.name = name
        self.version = version
        self.status = status
        self.step = step
        self.businessKey = businessKey
        self.reason = reason
        self.fingerprint = fingerprint
        self.state = state
        self.progress = progress
        self.started = started
        self.changed = changed
        self.records = records
        self.epoch = epoch
        self.signals = signals
        self.seen = seen
        self.claims = claims
    }
}

/// What is to be written of a saga, in one transaction.
public struct SagaChange: Sendable {
    /// The saga as it is to be.
    ///
    /// Its epoch is the one of the claim; ``SagaRow/seen`` says how many messages the caller knows of.
    public var row: SagaRow

    /// For how long the caller keeps its claim from now on; `nil` to give it back.
    public var lease: Duration?

    /// When the saga is due if the claim is given back; `nil` if only a message makes it due.
    public var due: Timestamp?

    /// The records to add, their numbers set.
    public var records: [SagaRecord]

    /// The messages it waits for from now on.
    public var opened: [SagaWaitKey]

    /// The messages it waits for no longer.
    public var closed: [SagaWaitKey]

    /// The messages that it has taken.
    public var taken: [Int64]

    /// Creates a change.
    ///
    /// - Parameters:
    ///   - row: The saga as it is to be.
    ///   - lease: For how long the caller keeps its claim.
    ///   - due: When the saga is due if the claim is given back.
    ///   - records: The records to add.
    ///   - opened: The messages it waits for from now on.
    ///   - closed: The messages it waits for no longer.
    ///   - taken: The messages that it has taken.
    public init(
        row: SagaRow, lease: Duration? = nil, due: Timestamp? = nil, records: [SagaRecord] = [],
        opened: [SagaWaitKey] = [], closed: [SagaWaitKey] = [], taken: [Int64] = []
    ) {
        self.row = row
        self.lease = lease
        self.due = due
        self.records = records
        self.opened = opened
        self.closed = closed
        self.taken = taken
    }

    /// Has the records of a new saga follow those that are kept of a forgotten one with its identifier.
    ///
    /// - Parameter last: The number that the last record is to have.
    public mutating func renumber(upTo last: Int64) {
        // Numbers may come from a row that something has spoilt.
        let shift = last &- row.records
        for index in records.indices { records[index].number &+= shift }
        row.records = last
    }
}

/// What became of a saga that was to be added.
public enum SagaInserted: Sendable, Hashable {
    /// The saga was added; this is the number of the last record of its history.
    case inserted(records: Int64)

    /// Nothing was added, since there is a saga of this identifier.
    case existing(SagaRow)
}

/// What became of a save.
public enum SagaSaved: Sendable, Hashable {
    /// The saga was written; so many messages are counted with it now.
    case saved(signals: Int64)

    /// Nothing was written, since there are messages that the caller has not seen.
    case unseenMessages

    /// Nothing was written, since the same change was written before: an answer got lost.
    case repeated(signals: Int64)
}

/// What a message that a saga waits for is found by.
public struct SagaWaitKey: Sendable, Hashable {
    /// The type of the message.
    public var type: MessageType

    /// The value it carries.
    public var key: String

    /// Creates a key.
    ///
    /// - Parameters:
    ///   - type: The type of the message.
    ///   - key: The value it carries.
    public init(type: MessageType, key: String) {
        self.type = type
        self.key = key
    }
}

/// A message left for a saga.
public struct SagaMessage: Sendable, Hashable {
    /// Its place among all messages, given by the store.
    public var number: Int64

    /// The kind of saga it is for.
    public var name: String

    /// The saga it is for; `nil` for one that is found by what it waits for.
    public var target: SagaID?

    /// What it is found by.
    public var wait: SagaWaitKey

    /// The identity of the message.
    public var id: MessageID

    /// What it says, JSON text in UTF-8.
    public var payload: Bytes

    /// Creates a message.
    ///
    /// - Parameters:
    ///   - number: Its place among all messages; the store gives it.
    ///   - name: The kind of saga it is for.
    ///   - target: The saga it is for.
    ///   - wait: What it is found by.
    ///   - id: The identity of the message.
    ///   - payload: What it says.
    public init(
        number: Int64 = 0, name: String, target: SagaID? = nil, wait: SagaWaitKey, id: MessageID, payload: Bytes
    ) {
        self.number = number
        self.name = name
        self.target = target
        self.wait = wait
        self.id = id
        self.payload = payload
    }
}

/// The messages left for a saga.
public struct SagaMessages: Sendable, Hashable {
    /// The messages, in the order in which they came.
    public var messages: [SagaMessage]

    /// How many have been counted with the saga in all.
    public var signals: Int64

    /// Creates a list.
    ///
    /// - Parameters:
    ///   - messages: The messages.
    ///   - signals: How many have been counted with the saga.
    public init(_ messages: [SagaMessage], signals: Int64) {
        self.messages = messages
        self.signals = signals
    }
}

/// Sagas that one engine may run.
public struct SagaClaim: Sendable {
    /// The sagas, with the epochs of this claim.
    public var rows: [SagaRow]

    /// The time by the store's clock.
    public var now: Timestamp

    /// In how long a saga that is not due now will be, if the store knows.
    public var nextDue: Duration?

    /// Creates a claim.
    ///
    /// - Parameters:
    ///   - rows: The sagas.
    ///   - now: The time by the store's clock.
    ///   - nextDue: In how long a saga that is not due now will be.
    public init(rows: [SagaRow], now: Timestamp, nextDue: Duration? = nil) {
        self.rows = rows
        self.now = now
        self.nextDue = nextDue
    }
}

/// What sagas that are looked for have in common.
///
/// ```swift
/// let stuck = try await sagas.find(SagaQuery(status: .parked, unchangedFor: .seconds(3600)))
/// ```
public struct SagaQuery: Sendable, Hashable {
    /// The kind of saga; any if `nil`.
    public var name: String?

    /// How they stand; anyhow if `nil`.
    public var status: SagaStatus?

    /// The step they are at; any if `nil`.
    public var step: String?

    /// What people know them by; anything if `nil`.
    public var businessKey: String?

    /// For how long they have not changed; any time if `nil`.
    public var unchangedFor: Duration?

    /// The most sagas to return.
    public var limit: Int

    /// Creates a query; nothing is asked for unless named.
    ///
    /// - Parameters:
    ///   - name: The kind of saga.
    ///   - status: How they stand.
    ///   - step: The step they are at.
    ///   - businessKey: What people know them by.
    ///   - unchangedFor: For how long they have not changed.
    ///   - limit: The most sagas to return.
    public init(
        name: String? = nil, status: SagaStatus? = nil, step: String? = nil, businessKey: String? = nil,
        unchangedFor: Duration? = nil, limit: Int = 100
    ) {
        self.name = name
        self.status = status
        self.step = step
        self.businessKey = businessKey
        self.unchangedFor = unchangedFor
        self.limit = max(0, limit)
    }
}

/// How the sagas of a store stand.
public struct SagaStatistics: Sendable, Hashable {
    /// How many have not ended.
    ///
    /// A store that would have to count row by row may stop at ``mostCounted``.
    public var open: Int

    /// How many of them are parked.
    public var parked: Int

    /// For how long the one has been due that waits longest for an engine; `nil` if none does.
    public var longestOverdue: Duration?

    /// Where a store may stop counting.
    public static let mostCounted = 10_000

    /// Creates statistics.
    ///
    /// - Parameters:
    ///   - open: How many have not ended.
    ///   - parked: How many of them are parked.
    ///   - longestOverdue: For how long the one has been due that waits longest.
    public init(open: Int, parked: Int, longestOverdue: Duration?) {
        self.open = open
        self.parked = parked
        self.longestOverdue = longestOverdue
    }
}
