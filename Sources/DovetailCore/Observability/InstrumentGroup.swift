// SPDX-License-Identifier: Apache-2.0

/// Hands each event to several instruments, in order.
///
/// ```swift
/// let metrics = MetricsInstrument()
/// let runtime = Runtime(instrument: InstrumentGroup(metrics, JSONLinesInstrument { print($0) }))
/// ```
public struct InstrumentGroup: Instrument {
    private let instruments: [any Instrument]

    /// Creates a group.
    ///
    /// - Parameter instruments: Who hears of each event, in this order.
    public init(_ instruments: any Instrument...) {
        self.init(instruments)
    }

    /// Creates a group.
    ///
    /// - Parameter instruments: Who hears of each event, in this order.
    public init(_ instruments: [any Instrument]) {
        self.instruments = instruments
    }

    /// Hands an event to all.
    ///
    /// - Parameter event: What happened.
    public func record<E: InstrumentEvent>(_ event: E) {
        for instrument in instruments { instrument.record(event) }
    }
}
