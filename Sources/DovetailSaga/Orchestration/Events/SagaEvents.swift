// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// Something happened to a saga: one line of its history was committed.
public struct SagaRecorded: InstrumentEvent {
    /// `dovetail.saga.recorded`.
    public static let name = "dovetail.saga.recorded"

    /// The kind of saga.
    public let saga: String

    /// What happened.
    public let record: SagaRecord

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - saga: The kind of saga.
    ///   - record: What happened.
    public init(saga: String, record: SagaRecord) {
        self.saga = saga
        self.record = record
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.saga.name", saga)
        visit("dovetail.saga.record", record.kind.rawValue)
        if let step = record.step { visit("dovetail.saga.step", step) }
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.saga.id", record.sagaID.rawValue)
        visit("dovetail.saga.number", String(record.number))
        if let attempt = record.attempt { visit("dovetail.saga.attempt", String(attempt)) }
        if let detail = record.detail { visit("dovetail.saga.detail", detail) }
        if let author = record.author { visit("dovetail.saga.author", author) }
    }
}

/// A saga gave up and waits for a person: an alert.
public struct SagaParked: InstrumentEvent {
    /// `dovetail.saga.parked`.
    public static let name = "dovetail.saga.parked"

    /// The kind of saga.
    public let saga: String

    /// The saga.
    public let id: SagaID

    /// The step it is at, if it is at one.
    public let step: String?

    /// Why.
    public let reason: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - saga: The kind of saga.
    ///   - id: The saga.
    ///   - step: The step it is at.
    ///   - reason: Why.
    public init(saga: String, id: SagaID, step: String?, reason: String) {
        self.saga = saga
        self.id = id
        self.step = step
        self.reason = reason
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.saga.name", saga)
        if let step { visit("dovetail.saga.step", step) }
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.saga.id", id.rawValue)
        visit("dovetail.saga.reason", reason)
    }
}

/// A saga came to its end.
public struct SagaEnded: InstrumentEvent {
    /// `dovetail.saga.ended`.
    public static let name = "dovetail.saga.ended"

    /// The kind of saga.
    public let saga: String

    /// The saga.
    public let id: SagaID

    /// How it ended.
    public let status: SagaStatus

    /// How long it took, from its start.
    public let elapsed: Duration

    /// How long it took, from its start.
    public var duration: Duration? { elapsed }

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - saga: The kind of saga.
    ///   - id: The saga.
    ///   - status: How it ended.
    ///   - elapsed: How long it took.
    public init(saga: String, id: SagaID, status: SagaStatus, elapsed: Duration) {
        self.saga = saga
        self.id = id
        self.status = status
        self.elapsed = elapsed
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.saga.name", saga)
        visit("dovetail.saga.status", status.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.saga.id", id.rawValue)
    }
}

/// The steps of a saga changed and its version did not.
public struct SagaShapeChanged: InstrumentEvent {
    /// `dovetail.saga.shape_changed`.
    public static let name = "dovetail.saga.shape_changed"

    /// The kind of saga.
    public let saga: String

    /// Its version.
    public let version: Int

    /// The saga that was started with other steps.
    public let id: SagaID

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - saga: The kind of saga.
    ///   - version: Its version.
    ///   - id: The saga that was started with other steps.
    public init(saga: String, version: Int, id: SagaID) {
        self.saga = saga
        self.version = version
        self.id = id
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.saga.name", saga)
        visit("dovetail.saga.version", String(version))
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.saga.id", id.rawValue)
    }
}

/// An engine could not reach its database, or lost a saga to another engine, and goes on.
public struct SagaEngineFailed: InstrumentEvent {
    /// `dovetail.saga.engine_failed`.
    public static let name = "dovetail.saga.engine_failed"

    /// What it was doing, such as `claim` or `save`.
    public let operation: String

    /// The saga it was about, if it was about one.
    public let id: SagaID?

    /// What went wrong, redacted.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - operation: What it was doing.
    ///   - id: The saga it was about.
    ///   - error: What went wrong, redacted.
    public init(operation: String, id: SagaID? = nil, error: String) {
        self.operation = operation
        self.id = id
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.operation", operation)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        if let id { visit("dovetail.saga.id", id.rawValue) }
        visit("exception.message", error)
    }
}
