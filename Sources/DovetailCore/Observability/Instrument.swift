// SPDX-License-Identifier: Apache-2.0

/// Hears of everything that happens to a message or a guard.
///
/// Called on the path of the message, often and from many tasks at once: an instrument must be quick and must not block.
/// What it does cannot fail the message.
///
/// ```swift
/// struct PrintDeadLetters: Instrument {
///     func record<E: InstrumentEvent>(_ event: E) {
///         if let event = event as? MessageDeadLettered { print(event.reason) }
///     }
/// }
/// let runtime = Runtime(instrument: PrintDeadLetters())
/// ```
public protocol Instrument: Sendable {
    /// Takes one event.
    ///
    /// - Parameter event: What happened.
    func record<E: InstrumentEvent>(_ event: E)
}

/// Something that happened, told to an ``Instrument``.
///
/// Names and attributes follow the [OpenTelemetry conventions for
/// messaging](https://opentelemetry.io/docs/specs/semconv/messaging/) where those have a word for it.
public protocol InstrumentEvent: Sendable {
    /// The name of this kind of event, such as `dovetail.message.published`.
    static var name: String { get }

    /// How many things it tells of; `1` unless it tells of a batch.
    var count: Int { get }

    /// How long it took or how late it was, if that is measured.
    var duration: Duration? { get }

    /// The attributes with few values, fit to split a metric by.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void)

    /// The attributes with many values, fit for a log line only.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void)
}

extension InstrumentEvent {
    /// One thing.
    public var count: Int { 1 }

    /// Not measured.
    public var duration: Duration? { nil }

    /// No attributes.
    ///
    /// - Parameter visit: Not called.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {}
}
