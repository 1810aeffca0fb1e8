// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// The message of a dead letter was sent again, and its letter has left.
public struct MessageRedriven: InstrumentEvent {
    /// `dovetail.message.redriven`.
    public static let name = "dovetail.message.redriven"

    /// The attributes of the message.
    public let attributes: EnvelopeAttributes

    /// The letter.
    public let letter: String

    /// The redrive; `nil` if a person sent an edited message.
    public let job: String?

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - attributes: The attributes of the message.
    ///   - letter: The letter.
    ///   - job: The redrive.
    public init(_ attributes: EnvelopeAttributes, letter: String, job: String?) {
        self.attributes = attributes
        self.letter = letter
        self.job = job
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.destination.name", attributes.topic.rawValue)
        visit("dovetail.message.type", attributes.type.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        attributes.visitDetails(visit)
        visit("dovetail.dead_letter", letter)
        if let job { visit("dovetail.redrive", job) }
    }
}

/// A redrive was asked for, was taken on, ended or stopped.
public struct RedriveStateChanged: InstrumentEvent {
    /// `dovetail.redrive.state_changed`.
    public static let name = "dovetail.redrive.state_changed"

    /// The redrive.
    public let job: RedriveJob

    /// Creates the event.
    ///
    /// - Parameter job: The redrive.
    public init(_ job: RedriveJob) {
        self.job = job
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.redrive.state", job.state.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.redrive", job.id)
        visit("dovetail.redrive.redriven", String(job.redriven))
        visit("dovetail.redrive.total", String(job.total))
        if !job.problem.isEmpty { visit("exception.message", job.problem) }
    }
}

/// Redrives could not be looked for, or one could not go on.
public struct RedriveFailed: InstrumentEvent {
    /// `dovetail.redrive.operation_failed`.
    public static let name = "dovetail.redrive.operation_failed"

    /// The redrive; empty if it is about none in particular.
    public let job: String

    /// What was being done.
    public let operation: String

    /// What went wrong, redacted.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - job: The redrive.
    ///   - operation: What was being done.
    ///   - error: What went wrong, redacted.
    public init(job: String, operation: String, error: String) {
        self.job = job
        self.operation = operation
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
        if !job.isEmpty { visit("dovetail.redrive", job) }
        visit("exception.message", error)
    }
}

/// Letters were discarded or swept, and will not be sent.
public struct DeadLettersRemoved: InstrumentEvent {
    /// `dovetail.dead_letter.removed`.
    public static let name = "dovetail.dead_letter.removed"

    /// How many.
    public let count: Int

    /// How they left.
    public let exit: DeadLetterExit

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - count: How many.
    ///   - exit: How they left.
    public init(count: Int, exit: DeadLetterExit) {
        self.count = count
        self.exit = exit
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.reason", exit.rawValue)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.count", String(count))
    }
}
