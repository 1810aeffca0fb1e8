// SPDX-License-Identifier: Apache-2.0

public import DovetailCore
import Synchronization

/// What may be tried again, as a share of what is called, for all calls that share it.
///
/// When the other side is down, every call fails, and retries multiply the load on what is trying to get up again. A budget
/// keeps them to a share of the calls of the last seconds, and a small number that is always allowed so that a service with
/// few calls can retry at all. A retry beyond it is not made: the call fails with the error it had, and a ``CallGivenUp``
/// says why. Hedges (``HedgeGuard``) draw on it too.
///
/// ```swift
/// let budget = RetryBudget()                         // one for each service that is called, shared by all calls to it
/// let pricing = Guarded(by: .retry(.exponential(attempts: 3), budget: budget), .timeout(.seconds(2)))
/// ```
///
/// Of several guards around a call that share a budget, the outermost counts the call, and what the others see is the
/// same call, however often it is made. A guarded call that is made within it, also by an unstructured task
/// (`Task { }`), is part of it and not counted.
///
/// At every moment, no more was tried again within the window than the share of the calls made in it, and `perSecond` times
/// its length; the window moves on by tenths. The rule is that of Finagle's [retry
/// budgets](https://finagle.github.io/blog/2016/02/08/retry-budgets) (2016), with the same defaults. Calls and retries are
/// counted and compared as whole numbers.
public final class RetryBudget: Sendable {
    /// Those that have counted the call which the current task makes.
    @TaskLocal private static var counted: [RetryBudget] = []

    private let window: Mutex<RetryWindow>

    /// Creates a budget that nobody has drawn on.
    ///
    /// Values that make no sense are moved to the nearest that does.
    ///
    /// - Parameters:
    ///   - share: How many retries a call brings, such as 0.2 for one retry to five calls; from 0 to 1000, exact to a
    ///     millionth.
    ///   - perSecond: How many retries a second are allowed beside, however few calls there are; from 0 to a million.
    ///   - window: How long a call counts, and how much of `perSecond` can be used at once; at least 10 ns.
    public init(share: Double = 0.2, perSecond: Double = 10, window: Duration = .seconds(10)) {
        self.window = Mutex(RetryWindow(share: share, perSecond: perSecond, length: window))
    }

    /// Counts a call, not the retries of it.
    ///
    /// - Parameter instant: When it is made, on the one clock of all who share the budget.
    public func recordCall(at instant: MonotonicInstant) {
        window.withLock { $0.recordCall(at: instant.nanoseconds) }
    }

    /// Counts a call, unless a guard around this one has done so.
    ///
    /// - Parameters:
    ///   - body: The call.
    ///   - instant: When it is made.
    /// - Returns: The call, such that guards within know that it was counted.
    func counting<Result: Sendable>(
        _ body: @escaping @Sendable () async throws -> Result, at instant: MonotonicInstant
    ) -> @Sendable () async throws -> Result {
        let counted = Self.counted
        guard !counted.contains(where: { $0 === self }) else { return body }
        recordCall(at: instant)
        return { try await Self.$counted.withValue(counted + [self]) { try await body() } }
    }

    /// Takes one retry out of the budget if it is in it.
    ///
    /// - Parameter instant: The instant now, on the one clock of all who share the budget.
    /// - Returns: Whether the retry may be made.
    public func withdraw(at instant: MonotonicInstant) -> Bool {
        window.withLock { $0.withdraw(at: instant.nanoseconds) }
    }

    /// How many retries are left.
    ///
    /// - Parameter instant: The instant now, on the one clock of all who share the budget.
    /// - Returns: The number, as far as calls are known now.
    public func remaining(at instant: MonotonicInstant) -> Int {
        window.withLock { $0.remaining(at: instant.nanoseconds) }
    }
}
