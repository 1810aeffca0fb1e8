// SPDX-License-Identifier: Apache-2.0

/// What a service is told that goes on after its crash: the effect it asked for did not happen.
///
/// A crashed process notices nothing; this error and the cancellation of the task only bring the code of the crashed
/// incarnation to its end.
public struct SimulatedCrash: Error, Sendable, Hashable, CustomStringConvertible {
    /// The service that crashed.
    public let service: String

    /// Which start of the service this is, counted from 1.
    public let incarnation: Int

    /// The effect that was refused, such as `publish`.
    public let effect: String

    /// Creates an error.
    ///
    /// - Parameters:
    ///   - service: The service that crashed.
    ///   - incarnation: Which start of the service this is, counted from 1.
    ///   - effect: The effect that was refused.
    public init(service: String, incarnation: Int, effect: String) {
        self.service = service
        self.incarnation = incarnation
        self.effect = effect
    }

    /// The service and the effect.
    public var description: String {
        "The service '\(service)' has crashed in incarnation \(incarnation); '\(effect)' did not happen."
    }
}
