// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// A circuit breaker for each key, such as a merchant or a host: the failures of one keep nobody from another.
///
/// ```swift
/// let gateways = KeyedCircuitBreaker<MerchantID>("gateway", CircuitBreakerSettings(window: .time(.seconds(30))))
/// let receipt = try await gateways.call(for: order.merchant) { try await gateway.charge(order) }
/// ```
///
/// Memory is bounded. A breaker is made when its key is first used and forgotten when that makes no difference: it is closed,
/// no call is under way through it, nobody holds it, and there is no call in its window. Calls in a window of counted calls,
/// and failures in a row, would stay for ever, so those are forgotten when no call has ended for ``forgetAfter``. A breaker
/// that is not closed is never forgotten.
///
/// When there are ``most`` breakers and none can be forgotten, the calls of further keys are made without one, since to
/// share one would let the failures of one key reject another's calls; a ``CircuitBreakerMissing`` event tells of it.
public final class KeyedCircuitBreaker<Key: Hashable & Sendable>: Sendable {
    /// The name that errors and events carry, together with the key.
    public var name: String { context.name }

    /// The most breakers.
    public let most: Int

    /// How long calls are remembered by a breaker that counts them however old they are, once no more end.
    public let forgetAfter: Duration

    private let context: BreakerContext
    private let limits: Mutex<BreakerLimits>
    private let shards: [BreakerShard<Key>]
    /// How many keys came when there was no room.
    private let refused = Atomic<Int>(0)
    /// Stands in where there is no room for another.
    private let none: CircuitBreaker

    /// Creates the breakers' keeper.
    ///
    /// - Parameters:
    ///   - name: The name that errors and events carry, such as that of the kind of service behind them.
    ///   - settings: When each breaker opens, for how long, and what makes it close again.
    ///   - most: The most breakers; at least 1.
    ///   - forgetAfter: How long calls are remembered by a breaker that counts them however old they are, once no more end.
    ///   - classifier: Decides what the end of a call says about the health of the other side.
    ///   - runtime: Where time and chance come from and who hears of changes; the current task's if `nil`.
    public init(
        _ name: String,
        _ settings: CircuitBreakerSettings = CircuitBreakerSettings(),
        most: Int = 100_000,
        forgetAfter: Duration = .seconds(600),
        classifier: OutcomeClassifier = OutcomeClassifier(),
        runtime: Runtime? = nil
    ) {
        let context = BreakerContext(name, classifier, runtime ?? .current)
        let limits = BreakerLimits(settings)
        self.most = max(1, most)
        self.forgetAfter = max(.zero, forgetAfter)
        self.context = context
        self.limits = Mutex(limits)
        let places = BreakerPlaces(self.most)
        shards = (0..<16).map { _ in BreakerShard(places) }
        none = CircuitBreaker(context, limits, .disabled)
    }

    /// Makes a call if the breaker of a key lets it through.
    ///
    /// - Parameters:
    ///   - key: The key.
    ///   - body: The call.
    /// - Returns: What the call returned.
    /// - Throws: What the call threw; ``CircuitBreakerError`` with ``CircuitBreakerError/Code/notPermitted`` if it was not made.
    @inlinable
    public func call<Result>(for key: Key, _ body: () async throws -> Result) async throws -> Result {
        try await breaker(for: key).call(body)
    }

    /// Asks the breaker of a key for the permission to make a call.
    ///
    /// - Parameter key: The key.
    /// - Returns: The permit, to be settled with how the call ended.
    /// - Throws: ``CircuitBreakerError`` with ``CircuitBreakerError/Code/notPermitted``.
    @inlinable
    public func acquire(for key: Key) throws(CircuitBreakerError) -> CircuitBreaker.Permit {
        try breaker(for: key).acquire()
    }

    /// The breaker of a key, to be used as a guard or to be looked at.
    ///
    /// It is not forgotten as long as it is held.
    ///
    /// - Parameter key: The key.
    /// - Returns: The breaker, a new one if there was none; one that lets everything through if there is no room for it.
    @specialized(where Key == String)
    @specialized(where Key == Int)
    public func breaker(for key: Key) -> CircuitBreaker {
        let shard = shard(for: key)
        if let breaker = shard.find(key) { return breaker }
        let limits = limits.withLock { $0 }
        let now = context.now()
        let new = CircuitBreaker(
            context, limits, .closed, key: String(describing: key), since: BreakerShard<Key>.seconds(now))
        var found = shard.insert(new, for: key, forgetAfter: forgetAfter, now: now)
        // Each look at all breakers is paid for by as many keys that came, so that a key costs the same on average.
        if found == nil, refused.wrappingAdd(1, ordering: .relaxed).oldValue % max(1, most / 4) == 0 {
            sweep()
            found = shard.insert(new, for: key, forgetAfter: forgetAfter, now: now)
        }
        if let breaker = found {
            // Settings may have been changed between the two steps.
            let current = self.limits.withLock { $0 }
            if current !== limits, breaker === new { breaker.reconfigure(current) }
            return breaker
        }
        context.runtime.instrument?.record(CircuitBreakerMissing(breaker: name))
        return none
    }

    /// The breaker of a key if there is one.
    ///
    /// - Parameter key: The key.
    /// - Returns: The breaker; `nil` if it was never used or is forgotten, so that a new one would be the same.
    public func existingBreaker(for key: Key) -> CircuitBreaker? {
        shard(for: key).find(key)
    }

    /// How many breakers there are, those included that would be forgotten next.
    public var count: Int {
        shards.reduce(0) { $0 + $1.count }
    }

    /// The breakers that are not closed, with their states.
    ///
    /// - Returns: The states by key.
    public func unhealthy() -> [Key: CircuitBreakerState] {
        var states: [Key: CircuitBreakerState] = [:]
        for shard in shards {
            for (key, breaker) in shard.all {
                let state = breaker.state
                if state != .closed { states[key] = state }
            }
        }
        return states
    }

    /// Forgets all breakers that can be forgotten now.
    ///
    /// There is no need to call this: it happens by itself when breakers are added.
    public func sweep() {
        let now = context.now()
        for shard in shards { shard.sweep(forgetAfter: forgetAfter, now: now) }
    }

    /// Puts other settings in force for all breakers at once; see ``CircuitBreaker/reconfigure(_:)``.
    ///
    /// - Parameter settings: The settings.
    public func reconfigure(_ settings: CircuitBreakerSettings) {
        let new = BreakerLimits(settings)
        let old = limits.withLock { current in
            defer { current = new }
            return current
        }
        for shard in shards {
            for (_, breaker) in shard.all { breaker.reconfigure(new) }
        }
        withExtendedLifetime(old) {}
    }

    private func shard(for key: Key) -> BreakerShard<Key> {
        // The high bits, since dictionaries look at the low ones first.
        shards[Int(UInt(bitPattern: key.hashValue) >> 48) % shards.count]
    }
}

extension KeyedCircuitBreaker: HealthReporting {
    /// Reports the breakers that are not closed.
    ///
    /// - Returns: The report.
    public func health() -> Health {
        Health(
            breakers: Dictionary(
                unhealthy().map { ("\(name)[\($0.key)]", $0.value.description) },
                uniquingKeysWith: { first, _ in first }
            ))
    }
}
