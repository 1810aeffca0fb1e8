// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// What one incarnation of a service is built from: its own handles of the world.
///
/// From the moment the service crashes, every handle it got from its node refuses effects with ``SimulatedCrash``, and its
/// open transactions roll back. The next incarnation gets a node of its own.
public struct Node: Sendable {
    private let incarnation: Incarnation
    private let world: NodeSurroundings

    init(incarnation: Incarnation, world: NodeSurroundings) {
        self.incarnation = incarnation
        self.world = world
    }

    /// The name under which the service was added.
    public var service: String { incarnation.service }

    /// Which start of the service this is, counted from 1.
    public var number: Int { incarnation.number }

    /// The transport.
    public var bus: InMemoryTransport { world.bus.fenced(by: incarnation) }

    /// The database named like the service.
    public var database: InMemoryDatabase { database(service) }

    /// A database, made when it is first asked for.
    ///
    /// What is stored in it outlives the incarnation.
    ///
    /// - Parameter name: Names it within the world.
    /// - Returns: This incarnation's handle.
    public func database(_ name: String) -> InMemoryDatabase {
        world.databases[name].fenced(by: incarnation)
    }

    /// Whether a direct call to another service gets through now, as far as the network is concerned.
    ///
    /// What services say by the bus is held up by itself while they are parted.
    ///
    /// ```swift
    /// guard node.reaches("payments") else { throw NoRoute() }
    /// ```
    ///
    /// - Parameter service: The other's name.
    /// - Returns: `false` while a fault parts the two, or cuts one of them off.
    public func reaches(_ service: String) -> Bool {
        world.injector.reaches(service, from: self.service)
    }

    /// Decides whether something of the test's own goes wrong, such as a card gateway that does not answer.
    ///
    /// ```swift
    /// if node.goesWrong("gateway-silent") { throw NoAnswer() }
    /// ```
    ///
    /// - Parameter name: What it is; how often, ``FaultPlan/named`` of the world's plan says. It is left out of a run, told and
    ///   replayed as the other faults are.
    /// - Returns: Whether it goes wrong this time.
    public func goesWrong(_ name: StaticString) -> Bool {
        world.injector.choose(name, at: service, share: nil) != nil
    }
}
