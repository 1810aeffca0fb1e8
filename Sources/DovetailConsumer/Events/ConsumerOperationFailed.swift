// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A consumer could not reach its transport, its database or its dead letters, and goes on after a while.
public struct ConsumerOperationFailed: InstrumentEvent {
    /// `dovetail.consumer.operation_failed`.
    public static let name = "dovetail.consumer.operation_failed"

    /// The consumer.
    public let consumer: String

    /// What it was doing, such as `receive`, `settle` or `claim`.
    public let operation: String

    /// What went wrong, redacted.
    public let error: String

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - consumer: The consumer.
    ///   - operation: What it was doing.
    ///   - error: What went wrong, redacted.
    public init(consumer: String, operation: String, error: String) {
        self.consumer = consumer
        self.operation = operation
        self.error = error
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("messaging.consumer.group.name", consumer)
        visit("dovetail.operation", operation)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("exception.message", error)
    }
}
