// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A piece of work over several services that is either done in the end, or undone.
///
/// A saga is a list of steps, in this order: steps that can be *compensated*, at most one *pivot*, which decides, and then steps
/// that are *retriable* and succeed in the end. Up to the pivot a failure or a cancellation undoes what was done; after it the
/// saga only goes forward.
///
/// ```swift
/// struct PlaceOrder: Saga {
///     static let name = "place-order", version = 1
///     struct State: Codable, Sendable { let order: Order; var payment: Payment.ID?; var reservation: Reservation.ID? }
///     let payments: any Payments, stock: any Stock, orders: any Orders
///
///     var steps: [Step<State>] {
///         Step("payment", into: \.payment) { state, step in
///             try await payments.authorise(state.order.cents, key: step.idempotencyKey)
///         } compensate: { state, step in
///             try await payments.void(key: step.idempotencyKey)
///         }
///         Step(pivot: "stock", into: \.reservation) { state, step in
///             try await stock.reserve(state.order, key: step.idempotencyKey)
///         }
///         Step(retriable: "confirm") { state, step in try await orders.confirm(state.order.id) }
///     }
/// }
/// ```
///
/// A step sees the state and cannot change it; what it returns is stored where `into:` says, in the commit that ends the step.
/// Steps are found again by their names after a restart, so nothing is replayed: a body may look at the clock and at chance as it
/// likes. Each may run more than once, always with the same ``StepContext/idempotencyKey``.
public protocol Saga: Sendable {
    /// What the saga knows. It begins with what it is started with, and steps add to it.
    associatedtype State: Codable & Sendable

    /// The name of this kind of saga, kept for its life.
    static var name: String { get }

    /// Rises whenever steps are added, removed, renamed or moved; `1` unless declared.
    ///
    /// Keep the former version registered beside the new one until its last saga has ended, or bring those along by
    /// ``migrate(_:from:)``.
    static var version: Int { get }

    /// The steps in their order.
    @StepsBuilder<State> var steps: [Step<State>] { get }

    /// In what time the saga must have reached its pivot; any unless declared.
    ///
    /// When it has not, what was done is undone. After the pivot a deadline means nothing.
    var deadline: Duration? { get }

    /// What people know the saga by, to find it again; nothing unless declared.
    ///
    /// - Parameter state: What it is started with.
    /// - Returns: Such as the number of the order.
    func businessKey(of state: State) -> String?

    /// Brings a saga of an earlier version along whose definition is no longer registered.
    ///
    /// Steps keep their names; a saga that has a record of a step which is no longer there is parked.
    ///
    /// - Parameters:
    ///   - state: Its state, JSON text in UTF-8.
    ///   - version: Its version.
    /// - Returns: The state for this version; `nil`, the default, if it cannot be brought along, and then it is parked.
    /// - Throws: Anything, and then it is parked.
    func migrate(_ state: Bytes, from version: Int) throws -> State?
}

extension Saga {
    /// The version `1`.
    public static var version: Int { 1 }

    /// No deadline.
    public var deadline: Duration? { nil }

    /// Nothing.
    ///
    /// - Parameter state: What it is started with.
    /// - Returns: `nil`.
    public func businessKey(of state: State) -> String? { nil }

    /// Cannot be brought along.
    ///
    /// - Parameters:
    ///   - state: Its state.
    ///   - version: Its version.
    /// - Returns: `nil`.
    /// - Throws: Nothing.
    public func migrate(_ state: Bytes, from version: Int) throws -> State? { nil }
}
