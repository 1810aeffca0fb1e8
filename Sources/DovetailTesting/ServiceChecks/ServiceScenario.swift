// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
public import DovetailSimulation

/// Services of yours and the messages that they are given, for the checks that are run on them.
///
/// ```swift
/// let payments = ServiceScenario(delivering: OrderPlaced.sample, OrderCancelled.sample) { node in
///     PaymentService(node.database, node.bus)
/// }
///
/// @Test func repeatsDoNothing() async throws { try await DuplicateDeliveryCheck().run(payments) }
/// @Test func crashesLoseNothing() async throws { try await CrashPointCheck().run(payments) }
/// @Test func poisonIsKept() async throws { try await PoisonCheck().run(payments) }
/// ```
///
/// A check runs the services many times, each time in a new ``World``, and compares the *end*: the rows of all tables, what was
/// published, the dead letters, and what is still in flight. Identifiers and times are left out of it, since they differ between two
/// runs that are both right: UUIDs and RFC 3339 times count as equal wherever they stand in a key, a row or a message.
///
/// What is outside, such as a card gateway, is best played by a table in a database of its own, `node.database("gateway")`, so
/// that a second call shows as a second row.
public struct ServiceScenario: Sendable {
    struct Part: Sendable {
        let name: String
        let factory: @Sendable (Node) throws -> any Service
    }

    private(set) var parts: [Part]
    let messages: [any Message]
    private(set) var preparations: [@Sendable (World) async throws -> Void] = []
    private(set) var ignored: Set<String> = []
    private(set) var codec: any PayloadCodec = JSONPayloadCodec()

    /// Creates a scenario.
    ///
    /// - Parameters:
    ///   - name: Names the service, its database and what is said about it.
    ///   - messages: What it is given, in this order. Messages with one topic and partition key always come in this order; others may
    ///     come in any.
    ///   - factory: Builds the service from handles that are cut off when it crashes. What is kept in memory outside it
    ///     survives a crash, and must not be changed by the service.
    public init(
        _ name: String = "service", delivering messages: any Message...,
        factory: @escaping @Sendable (Node) throws -> any Service
    ) {
        self.messages = messages
        parts = [Part(name: name, factory: factory)]
    }

    /// Adds a service, such as one that reads what the first one publishes.
    ///
    /// - Parameters:
    ///   - name: Names the service and its database.
    ///   - factory: Builds it.
    /// - Returns: The changed scenario.
    public func adding(
        _ name: String, factory: @escaping @Sendable (Node) throws -> any Service
    ) -> ServiceScenario {
        with { $0.parts.append(Part(name: name, factory: factory)) }
    }

    /// Has something happen in each run, once its services have started and before messages are delivered.
    ///
    /// ```swift
    /// .preparing { world in
    ///     let accounts = world.database("payments").table("accounts", of: Account.self)
    ///     try await world.database("payments").withTransaction { tx in try await accounts.put(.sample, at: "7", in: tx) }
    /// }
    /// ```
    ///
    /// - Parameter body: Puts rows in, or asks a service for something. It is never crashed.
    /// - Returns: The changed scenario.
    public func preparing(_ body: @escaping @Sendable (World) async throws -> Void) -> ServiceScenario {
        with { $0.preparations.append(body) }
    }

    /// Leaves fields out of the comparison that differ between two runs that are both right.
    ///
    /// - Parameter fields: A table, `audit`; a field of its rows, `orders.attempts`, and all below it; the type of a message,
    ///   `shop.order.placed`, or a field of it.
    /// - Returns: The changed scenario.
    public func ignoring(_ fields: String...) -> ServiceScenario {
        with { $0.ignored.formUnion(fields) }
    }

    /// Sets what writes the payloads of the messages; JSON unless set.
    ///
    /// - Parameter codec: What writes payloads.
    /// - Returns: The changed scenario.
    public func codec(_ codec: some PayloadCodec) -> ServiceScenario {
        with { $0.codec = codec }
    }

    private func with(_ change: (inout ServiceScenario) -> Void) -> ServiceScenario {
        var copy = self
        change(&copy)
        return copy
    }
}
