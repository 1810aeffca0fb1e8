// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

extension CircuitBreaker {
    /// What the breaker does with calls now.
    ///
    /// Reading it changes nothing and takes no probe's place. A breaker that was open for long enough reads as half-open,
    /// although it becomes so only with the next call.
    public var state: CircuitBreakerState {
        read().state
    }

    /// Tells what a call would meet now, without making it one.
    ///
    /// - Returns: `nil` if it would be let through; otherwise what it would throw.
    public func peek() -> CircuitBreakerError? {
        let (core, admission) = reading { $0.admit(at: $1) }
        guard case .rejected(let state, let retryAfter) = admission else { return nil }
        return CircuitBreakerError(
            .notPermitted, breaker: name, key: key, state: state, retryAfter: retryAfter, cause: core.lastFailure)
    }

    /// What the breaker has counted, as of now.
    ///
    /// - Returns: The figures; reading them changes nothing.
    public func snapshot() -> CircuitBreakerSnapshot {
        let core = read()
        return CircuitBreakerSnapshot(
            state: core.state, figures: core.figures, minimumCalls: core.minimumCalls, totals: core.totals,
            probesInFlight: core.probesInFlight, retryAfter: core.retryAfter(at: now()), openings: core.attempt,
            lastFailure: core.lastFailure)
    }

    /// Changes the state by hand.
    ///
    /// Each change begins with nothing counted, also one to the same state, of which nobody is told. Opening an open breaker
    /// begins its wait again. What is forced open or disabled stays so until it is told otherwise.
    ///
    /// - Parameter state: The new state. Half-open only follows a state that rejects calls.
    /// - Throws: ``CircuitBreakerError`` with ``CircuitBreakerError/Code/illegalTransition``, and then nothing has changed.
    public func transition(to state: CircuitBreakerState) throws(CircuitBreakerError) {
        let (isDone, old) = withCore { core, moment in
            let old = core.state
            return core.request(state, for: nil, at: moment).map { ($0, old) }
        }
        guard isDone else { throw CircuitBreakerError(.illegalTransition, breaker: name, key: key, state: old) }
    }

    /// Opens the breaker by hand for a span of time, once; after that the settings hold again.
    ///
    /// For an answer that says how long to stay away, such as a `Retry-After` field.
    ///
    /// - Parameter wait: How long it rejects calls; with none at all, the next call is a probe.
    public func open(for wait: Duration) {
        withCore { $0.request(.open, for: max(.zero, wait), at: $1) }
    }

    /// Opens the breaker by hand until an instant, once; after that the settings hold again.
    ///
    /// - Parameter instant: Until when it rejects calls, on the clock of its runtime; in the past, the next call is a probe.
    public func open(until instant: MonotonicInstant) {
        withCore { core, moment in
            core.request(.open, for: moment.map { max(.zero, instant - $0.now) }, at: moment)
        }
    }

    /// Forgets what was counted in the present state.
    ///
    /// A breaker that is open, half-open or forced open closes.
    public func reset() {
        withCore { core, _ in
            core.reset()
            return .done(())
        }
    }

    /// Puts other settings in force at once.
    ///
    /// The state stays, and so do the calls that were counted, as long as the new window measures like the old one: another
    /// number of calls keeps the newest, another span of time or kind of window begins empty. An opening that is under way
    /// keeps its wait, probes that are under way their number.
    ///
    /// - Parameter settings: The settings.
    public func reconfigure(_ settings: CircuitBreakerSettings) {
        reconfigure(BreakerLimits(settings))
    }

    func reconfigure(_ limits: BreakerLimits) {
        // The old settings are let go of after the lock: they hold a rule of others.
        let old = withCore { core, _ in .done(core.reconfigure(limits)) }
        withExtendedLifetime(old) {}
    }

    /// The settings in force.
    public var settings: CircuitBreakerSettings {
        copyOfCore().limits.settings
    }

    /// Tells a listener of each change of state, in order.
    ///
    /// The listener is called with no lock held, by a task that uses the breaker, and must be quick. It may use the breaker;
    /// when it is called the state may have changed again. The instrument of the runtime hears of the same changes first.
    ///
    /// - Parameter listener: Told of each change.
    /// - Returns: The subscription, which ends when it is cancelled or no longer held.
    public func onTransition(
        _ listener: @escaping @Sendable (CircuitBreakerTransitioned) -> Void
    ) -> CircuitBreakerSubscription {
        CircuitBreakerSubscription(breaker: self, id: listen(listener))
    }

    // MARK: Reading

    /// The core as of now.
    private func read() -> BreakerCore {
        reading { core, moment -> BreakerCore.Step<Void> in
            guard let moment else { return .asks(attempt: nil) }
            return core.advance(to: moment).map { .asks(attempt: $0) } ?? .done(())
        }.core
    }

    /// Does something to a copy of the core.
    private func reading<Value>(
        _ body: (inout BreakerCore, BreakerCore.Moment?) -> BreakerCore.Step<Value>
    ) -> (core: BreakerCore, value: Value) {
        let original = copyOfCore()
        let now = now()
        var moment: BreakerCore.Moment?
        while true {
            var core = original
            switch body(&core, moment) {
            case .done(let value): return (core, value)
            case .asks(let attempt):
                moment = answer(to: attempt, under: core.limits, at: now)
            }
        }
    }
}

extension CircuitBreaker: HealthReporting {
    /// Reports the state under the name of the breaker.
    ///
    /// - Returns: The report.
    public func health() -> Health {
        Health(breakers: [key.map { "\(name)[\($0)]" } ?? name: state.description])
    }
}
