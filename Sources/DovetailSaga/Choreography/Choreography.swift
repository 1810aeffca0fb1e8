// SPDX-License-Identifier: Apache-2.0

/// A flow in which nobody is in charge: participants react to each other's events, and this says who to what.
///
/// Each service knows only its own part, so nobody sees whether the parts make a whole. Declare the flow once, beside the events that the
/// services share, and have it checked in a unit test: every event has a reader, every way through comes to an end, and when
/// something fails, all that was done before is undone.
///
/// ```swift
/// let checkout = Choreography("checkout") {
///     Hop("orders").emits(OrderPlaced.self)
///     Hop("payments", on: OrderPlaced.self).emits(PaymentSucceeded.self).fails(PaymentFailed.self)
///     Hop("inventory", on: PaymentSucceeded.self).emits(StockReserved.self).fails(StockRejected.self)
///     Hop("payments", on: StockRejected.self).undoes(PaymentSucceeded.self).emits(PaymentRefunded.self)
///     Hop("orders", on: StockReserved.self).ends("confirmed")
///     Hop("orders", on: PaymentFailed.self).undoes(OrderPlaced.self).ends("cancelled")
///     Hop("orders", on: PaymentRefunded.self).undoes(OrderPlaced.self).ends("cancelled")
/// }
///
/// @Test func theCheckoutIsSound() throws { try checkout.validate() }
/// ```
///
/// A ``Participant`` that names the flow is held to it, a ``ChoreographyWatch`` follows its conversations, and it can be drawn:
/// ``mermaidSequence()``, ``mermaidFlowchart()``, ``dot()``.
public struct Choreography: Sendable {
    /// The name of the flow.
    public let name: String

    /// Its hops, in the order in which they are declared.
    public let hops: [Hop]

    /// How long a hop may take that says nothing about it.
    public let hopLimit: Duration

    /// Declares a flow.
    ///
    /// - Parameters:
    ///   - name: The name of the flow. Keep it: a ``ChoreographyWatch`` keeps its rows under it.
    ///   - limit: How long each hop may take until what comes of it is seen, where ``Hop/within(_:)`` says nothing else.
    ///   - hops: The hops.
    public init(_ name: String, eachHopWithin limit: Duration = .seconds(60), @HopBuilder hops: () -> [Hop]) {
        self.name = name
        hopLimit = limit
        self.hops = hops()
    }

    /// The participants, in the order in which the flow names them.
    public var participants: [String] { hops.map(\.participant).uniqued() }

    /// The events, in the order in which the flow names them.
    public var events: [FlowEvent] { hops.flatMap { $0.inputs + $0.emissions }.uniqued() }

    /// The hops that wait for an event, not counting deadlines.
    func readers(of event: FlowEvent) -> [Hop] {
        hops.filter { $0.deadline == nil && $0.inputs.contains(event) }
    }

    func emitters(of event: FlowEvent) -> [Hop] { hops.filter { $0.emissions.contains(event) } }

    func limit(of hop: Hop) -> Duration { hop.limit ?? hopLimit }
}

/// Builds the hops of a ``Choreography``; `if`, `switch` and `for` may be used.
@resultBuilder
public enum HopBuilder {
    /// Takes one hop.
    ///
    /// - Parameter hop: The hop.
    /// - Returns: A list of it.
    public static func buildExpression(_ hop: Hop) -> [Hop] { [hop] }

    /// Takes hops that were declared elsewhere, such as those of a flow that this one contains.
    ///
    /// - Parameter hops: The hops.
    /// - Returns: The same.
    public static func buildExpression(_ hops: [Hop]) -> [Hop] { hops }

    /// Joins the hops of a block.
    ///
    /// - Parameter parts: The hops of each line.
    /// - Returns: All of them.
    public static func buildBlock(_ parts: [Hop]...) -> [Hop] { parts.flatMap(\.self) }

    /// Takes the hops of an `if` without `else`.
    ///
    /// - Parameter hops: The hops; `nil` if the condition does not hold.
    /// - Returns: The hops.
    public static func buildOptional(_ hops: [Hop]?) -> [Hop] { hops ?? [] }

    /// Takes the hops of the first branch.
    ///
    /// - Parameter hops: The hops.
    /// - Returns: The same.
    public static func buildEither(first hops: [Hop]) -> [Hop] { hops }

    /// Takes the hops of the second branch.
    ///
    /// - Parameter hops: The hops.
    /// - Returns: The same.
    public static func buildEither(second hops: [Hop]) -> [Hop] { hops }

    /// Joins the hops of a loop.
    ///
    /// - Parameter parts: The hops of each turn.
    /// - Returns: All of them.
    public static func buildArray(_ parts: [[Hop]]) -> [Hop] { parts.flatMap(\.self) }
}
