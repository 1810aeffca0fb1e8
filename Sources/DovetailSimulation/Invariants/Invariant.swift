// SPDX-License-Identifier: Apache-2.0

/// Something that must hold in a ``World``, whatever goes wrong.
///
/// ```swift
/// world.require(
///     .noLostMessage, .orderPerKey,
///     .noDoubleEffect(table: "ledger", in: "payments", of: Charge.self) { $0.orderID },
///     .never("a stock below nothing") { state in
///         try state.rows(of: "stock", as: Stock.self, in: "warehouse").contains { $0.row.count < 0 }
///     })
/// ```
///
/// A check reads committed rows and messages, and has no effects. It is made with the state of the world between two steps.
public struct Invariant: Sendable {
    enum Timing: Sendable {
        case everyStep
        case onceAtLeast
        case atQuiet
    }

    /// Reads the state of the world.
    public typealias Condition = @Sendable (WorldState) throws -> Bool

    /// Reads the state of the world, and says what is wrong with it; `nil` if nothing is.
    public typealias Problem = @Sendable (WorldState) throws -> String?

    /// What must hold, in the words in which a failure tells it.
    public let name: String

    let timing: Timing
    let problem: Problem

    init(_ name: String, _ timing: Timing, _ problem: @escaping Problem) {
        self.name = name
        self.timing = timing
        self.problem = problem
    }

    /// Must hold after each step that changes something.
    ///
    /// - Parameters:
    ///   - name: What must hold.
    ///   - condition: Whether it does.
    /// - Returns: The invariant.
    public static func always(_ name: String, _ condition: @escaping Condition) -> Invariant {
        Invariant(name, .everyStep) { try condition($0) ? nil : "it did not hold" }
    }

    /// Must not hold after any step that changes something.
    ///
    /// - Parameters:
    ///   - name: What must not be.
    ///   - condition: Whether it is.
    /// - Returns: The invariant.
    public static func never(_ name: String, _ condition: @escaping Condition) -> Invariant {
        Invariant("never: \(name)", .everyStep) { try condition($0) ? "it happened" : nil }
    }

    /// Must hold after some step, before the day is over.
    ///
    /// - Parameters:
    ///   - name: What must come.
    ///   - condition: Whether it has come.
    /// - Returns: The invariant.
    public static func eventually(_ name: String, _ condition: @escaping Condition) -> Invariant {
        Invariant("eventually: \(name)", .onceAtLeast) { try condition($0) ? nil : "it never came" }
    }

    /// Must hold whenever the world is quiet.
    ///
    /// - Parameters:
    ///   - name: What must hold.
    ///   - problem: What is wrong; `nil` if it holds.
    /// - Returns: The invariant.
    public static func atQuiet(_ name: String, _ problem: @escaping Problem) -> Invariant {
        Invariant(name, .atQuiet, problem)
    }
}
