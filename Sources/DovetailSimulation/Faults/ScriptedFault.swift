// SPDX-License-Identifier: Apache-2.0

/// Something that goes wrong at a time that a test names, counted from the beginning of the run.
///
/// ```swift
/// FaultPlan(script: [
///     .down("payments", from: .seconds(180), to: .seconds(540)),
///     .clockJump(by: .seconds(-30), at: .seconds(200)),
/// ])
/// ```
public struct ScriptedFault: Sendable, Hashable {
    enum Base: Sendable, Hashable {
        case down(String, Duration)
        case brokerDown(Duration)
        case cutOff(String, Duration)
        case parted(String, String, Duration)
        case clockJump(Duration)
    }

    let base: Base
    let start: Duration

    var partsServices: Bool {
        if case .parted = base { true } else { false }
    }

    /// A service crashes, and starts again only later.
    ///
    /// - Parameters:
    ///   - service: Its name.
    ///   - start: When it crashes.
    ///   - end: When it starts again.
    /// - Returns: The fault.
    public static func down(_ service: String, from start: Duration, to end: Duration) -> ScriptedFault {
        ScriptedFault(base: .down(service, end - start), start: start)
    }

    /// The bus cannot be reached by any service.
    ///
    /// - Parameters:
    ///   - start: From when.
    ///   - end: Until when.
    /// - Returns: The fault.
    public static func brokerDown(from start: Duration, to end: Duration) -> ScriptedFault {
        ScriptedFault(base: .brokerDown(end - start), start: start)
    }

    /// A service goes on running and cannot reach the bus.
    ///
    /// - Parameters:
    ///   - service: Its name.
    ///   - start: From when.
    ///   - end: Until when.
    /// - Returns: The fault.
    public static func cutOff(_ service: String, from start: Duration, to end: Duration) -> ScriptedFault {
        ScriptedFault(base: .cutOff(service, end - start), start: start)
    }

    /// Two services go on running, and neither hears of the other: the bus carries what each publishes to all but the other, to
    /// which it comes at the end, in order.
    ///
    /// - Parameters:
    ///   - one: The name of the one.
    ///   - other: The name of the other.
    ///   - start: From when.
    ///   - end: Until when.
    /// - Returns: The fault.
    public static func parted(
        _ one: String, _ other: String, from start: Duration, to end: Duration
    ) -> ScriptedFault {
        ScriptedFault(base: .parted(one, other, end - start), start: start)
    }

    /// The wall clock is set.
    ///
    /// - Parameters:
    ///   - amount: By how much; back if negative.
    ///   - time: When.
    /// - Returns: The fault.
    public static func clockJump(by amount: Duration, at time: Duration) -> ScriptedFault {
        ScriptedFault(base: .clockJump(amount), start: time)
    }
}
