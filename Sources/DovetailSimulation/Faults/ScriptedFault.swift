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
        case clockJump(Duration)
    }

    let base: Base
    let start: Duration

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
