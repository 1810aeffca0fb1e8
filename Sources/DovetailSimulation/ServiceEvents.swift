// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A service of a ``World`` was started.
public struct ServiceStarted: InstrumentEvent {
    /// `dovetail.simulation.service.started`.
    public static let name = "dovetail.simulation.service.started"

    /// The name of the service.
    public let service: String

    /// Which start of the service this is, counted from 1.
    public let incarnation: Int

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - service: The name of the service.
    ///   - incarnation: Which start of the service this is, counted from 1.
    public init(service: String, incarnation: Int) {
        self.service = service
        self.incarnation = incarnation
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("service", service)
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("incarnation", "\(incarnation)")
    }
}

/// A service of a ``World`` crashed.
public struct ServiceCrashed: InstrumentEvent {
    /// `dovetail.simulation.service.crashed`.
    public static let name = "dovetail.simulation.service.crashed"

    /// The name of the service.
    public let service: String

    /// Which start of the service this was, counted from 1.
    public let incarnation: Int

    /// The effect that it was about to have; `nil` if the crash had nothing to do with what it did.
    public let effect: String?

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - service: The name of the service.
    ///   - incarnation: Which start of the service this was, counted from 1.
    ///   - effect: The effect that it was about to have.
    public init(service: String, incarnation: Int, effect: String?) {
        self.service = service
        self.incarnation = incarnation
        self.effect = effect
    }

    /// The attributes with few values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("service", service)
        if let effect { visit("effect", effect) }
    }

    /// The attributes with many values.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDetails(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("incarnation", "\(incarnation)")
    }
}
