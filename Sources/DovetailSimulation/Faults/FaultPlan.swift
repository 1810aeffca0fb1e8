// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// All that goes wrong in a ``World``, and how often.
///
/// Everything is decided by the seed: the same seed has the same faults. What a test itself does, outside the services, is
/// spared.
///
/// ```swift
/// var faults = FaultPlan.gameDay
/// faults.transport.lose = 0.2
/// faults.script = [.down("payments", from: .seconds(180), to: .seconds(540))]
/// world.faults = faults
/// ```
public struct FaultPlan: Sendable, Hashable {
    /// What goes wrong between the services and the bus.
    public var transport: TransportFaults

    /// What goes wrong between the services and their databases.
    public var storage: StorageFaults

    /// When services crash by chance.
    public var crashes: CrashPlan

    /// When clocks are set.
    public var clock: ClockFaults

    /// When the bus cannot be reached.
    public var outages: OutagePlan

    /// How often anything else goes wrong, by its name; `blob-missing` is that a blob is not found for now.
    ///
    /// A part of a test can have faults of its own, see ``Node/goesWrong(_:)``.
    public var named: [String: Double]

    /// What goes wrong when, whatever the dice say.
    public var script: [ScriptedFault]

    /// Creates a plan; nothing goes wrong unless it is named.
    ///
    /// - Parameters:
    ///   - transport: What goes wrong between the services and the bus.
    ///   - storage: What goes wrong between the services and their databases.
    ///   - crashes: When services crash by chance.
    ///   - clock: When clocks are set.
    ///   - outages: When the bus cannot be reached.
    ///   - named: How often anything else goes wrong, by its name.
    ///   - script: What goes wrong when, whatever the dice say.
    public init(
        transport: TransportFaults = .none, storage: StorageFaults = .none, crashes: CrashPlan = .none,
        clock: ClockFaults = .none, outages: OutagePlan = .none, named: [String: Double] = [:],
        script: [ScriptedFault] = []
    ) {
        self.transport = transport
        self.storage = storage
        self.crashes = crashes
        self.clock = clock
        self.outages = outages
        self.named = named
        self.script = script
    }

    /// Nothing goes wrong.
    public static let none = FaultPlan()

    /// A bad day: a little of everything.
    ///
    /// | What | How often |
    /// |---|---|
    /// | a publish fails | 4 % of envelopes, half of them stored all the same |
    /// | a delivery is repeated, lost, late | 4 %, 4 %, 4 % of deliveries, late by up to 2 s |
    /// | a message without a key is overtaken | 4 %; order per key is kept, since every transport of this library keeps it |
    /// | a database refuses an effect | 1 % |
    /// | a database does it, and its answer is lost | 1 % |
    /// | a commit is refused for what others did | 1 % |
    /// | a commit takes 50 ms to 5 s | 2 % |
    /// | a service crashes before an effect | 1 %, at most 20 times, and is down for up to 2 s |
    /// | a service crashes, whatever it does | every 60 s on average |
    /// | the clocks are set | every 60 s on average, by up to 20 s forth or back |
    /// | the bus is down | every 120 s on average, for 0.1 s to 10 s |
    /// | a service is cut off from the bus | every 120 s on average, for 0.1 s to 10 s |
    /// | two services do not hear of each other | every 120 s on average, for 0.1 s to 10 s |
    /// | a blob is not found | 5 % |
    public static let gameDay = FaultPlan(
        transport: TransportFaults(
            publishFails: 0.04, storedAnyway: 0.5, duplicate: 0.04, delay: 0.04, longestDelay: .seconds(2),
            reorder: 0.04,
            keepsOrderOfKeys: true, lose: 0.04),
        storage: StorageFaults(refused: 0.01, unanswered: 0.01, conflicts: 0.01, slow: 0.02),
        crashes: CrashPlan(atEffects: 0.01, every: .seconds(60), downtime: .zero ... .seconds(2), most: 20),
        clock: ClockFaults(every: .seconds(60)),
        outages: OutagePlan(brokerEvery: .seconds(120), serviceEvery: .seconds(120), pairEvery: .seconds(120)),
        named: ["blob-missing": 0.05]
    )

    /// Whether two services may be kept from hearing of each other.
    var mayPartServices: Bool { outages.pairEvery != nil || script.contains(where: \.partsServices) }
}

/// What goes wrong between services and their databases in memory, and how often.
///
/// Each share is a probability from 0 to 1 for each effect: the begin and the end of a transaction, a claim, its settling.
public struct StorageFaults: Sendable, Hashable {
    /// The share of effects that a database refuses, and does not do.
    public var refused: Double

    /// The share of effects that a database does, and whose answer is lost.
    public var unanswered: Double

    /// The share of commits that are refused because of what other transactions did, so that the body is run again.
    public var conflicts: Double

    /// The share of commits that take their time.
    public var slow: Double

    /// How long a slow commit takes.
    public var slowness: ClosedRange<Duration>

    /// Creates faults; none unless named.
    ///
    /// - Parameters:
    ///   - refused: The share of effects that are refused.
    ///   - unanswered: The share of effects whose answer is lost.
    ///   - conflicts: The share of commits that are refused because of other transactions.
    ///   - slow: The share of commits that take their time.
    ///   - slowness: How long those take.
    public init(
        refused: Double = 0, unanswered: Double = 0, conflicts: Double = 0, slow: Double = 0,
        slowness: ClosedRange<Duration> = .milliseconds(50) ... .seconds(5)
    ) {
        self.refused = refused
        self.unanswered = unanswered
        self.conflicts = conflicts
        self.slow = slow
        self.slowness = slowness
    }

    /// Nothing goes wrong.
    public static let none = StorageFaults()
}

/// When the wall clock of a ``World`` is set forth or back; what is measured by the monotonic clock is not affected.
public struct ClockFaults: Sendable, Hashable {
    /// The mean time between two jumps; never if `nil`.
    public var every: Duration?

    /// By how much the clock jumps.
    public var jump: ClosedRange<Duration>

    /// Creates a plan.
    ///
    /// - Parameters:
    ///   - every: The mean time between two jumps; never if `nil`.
    ///   - jump: By how much the clock jumps; back if negative.
    public init(every: Duration? = nil, jump: ClosedRange<Duration> = .seconds(-20) ... .seconds(20)) {
        self.every = every
        self.jump = jump
    }

    /// The clock is never set.
    public static let none = ClockFaults()
}

/// When the bus of a ``World`` cannot be reached, by anybody or by one service, and when it carries nothing between two services.
public struct OutagePlan: Sendable, Hashable {
    /// The mean time between two outages of the bus; never if `nil`.
    public var brokerEvery: Duration?

    /// The mean time after which some service is cut off from the bus, and so from all others; never if `nil`.
    public var serviceEvery: Duration?

    /// The mean time after which some two services are parted; never if `nil`.
    ///
    /// What one publishes reaches the other only when the partition has healed, in order; all others hear of both. A direct call
    /// asks ``Node/reaches(_:)``.
    public var pairEvery: Duration?

    /// How long an outage lasts.
    public var lasting: ClosedRange<Duration>

    /// Creates a plan.
    ///
    /// - Parameters:
    ///   - brokerEvery: The mean time between two outages of the bus.
    ///   - serviceEvery: The mean time after which some service is cut off.
    ///   - pairEvery: The mean time after which some two services are parted.
    ///   - lasting: How long an outage lasts.
    public init(
        brokerEvery: Duration? = nil, serviceEvery: Duration? = nil, pairEvery: Duration? = nil,
        lasting: ClosedRange<Duration> = .milliseconds(100) ... .seconds(10)
    ) {
        self.brokerEvery = brokerEvery
        self.serviceEvery = serviceEvery
        self.pairEvery = pairEvery
        self.lasting = lasting
    }

    /// The bus can always be reached, and carries all.
    public static let none = OutagePlan()
}
