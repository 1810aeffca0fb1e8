// SPDX-License-Identifier: Apache-2.0

/// When the services of a ``World`` crash by chance, decided by its seed.
///
/// ```swift
/// world.crashes = CrashPlan(atEffects: 0.01, most: 20)
/// ```
public struct CrashPlan: Sendable, Hashable {
    /// The share of effects before which the service crashes: transactions, commits, publishes, settlements.
    public var atEffects: Double

    /// The mean time between two crashes of any service, whatever it does; never if `nil`.
    public var every: Duration?

    /// How long a crashed service stays down.
    public var downtime: ClosedRange<Duration>

    /// The most crashes of a run.
    public var most: Int

    /// The services that may crash; all of them if `nil`.
    public var services: Set<String>?

    /// Creates a plan; nothing crashes unless it says when.
    ///
    /// - Parameters:
    ///   - atEffects: The share of effects before which the service crashes.
    ///   - every: The mean time between two crashes of any service.
    ///   - downtime: How long a crashed service stays down.
    ///   - most: The most crashes of a run.
    ///   - services: The services that may crash; all of them if `nil`.
    public init(
        atEffects: Double = 0,
        every: Duration? = nil,
        downtime: ClosedRange<Duration> = .zero ... .seconds(1),
        most: Int = 100,
        services: Set<String>? = nil
    ) {
        self.atEffects = atEffects
        self.every = every
        self.downtime = downtime
        self.most = most
        self.services = services
    }

    /// Nothing crashes.
    public static let none = CrashPlan()

    func concerns(_ service: String) -> Bool {
        services?.contains(service) ?? true
    }
}
