// SPDX-License-Identifier: Apache-2.0

extension CircuitBreaker {
    /// The permission to make one call, to be settled once with how it ended.
    ///
    /// It cannot be copied, and what settles it uses it up: that a call is counted twice does not compile. A permit that is
    /// dropped without being settled counts as neutral, and the place of a probe is free again.
    ///
    /// ```swift
    /// let permit = try breaker.acquire()
    /// switch await api.ask() {
    /// case .answer(let answer): permit.succeed()
    /// case .refusal(let error): permit.fail(error)
    /// case .notMyBusiness: permit.release()
    /// }
    /// ```
    public struct Permit: ~Copyable, Sendable {
        @usableFromInline let breaker: CircuitBreaker
        @usableFromInline let ticket: Ticket
        @usableFromInline var isSettled = false

        @usableFromInline
        init(breaker: CircuitBreaker, ticket: Ticket) {
            self.breaker = breaker
            self.ticket = ticket
        }

        @inlinable
        deinit {
            if !isSettled { breaker.settle(ticket, .neutral) }
        }

        /// Says that the other side does its work.
        @inlinable
        public consuming func succeed() {
            isSettled = true
            breaker.settle(ticket, .success)
        }

        /// Says that the other side does not do its work.
        ///
        /// - Parameter error: What happened, to be shown by later rejections; `nil` to leave them as they are.
        @inlinable
        public consuming func fail(_ error: (any Error)? = nil) {
            isSettled = true
            breaker.settle(ticket, failing: error)
        }

        /// Says nothing about the other side.
        @inlinable
        public consuming func release() {}

        /// Lets the breaker's classifier decide what an error says about the other side.
        ///
        /// - Parameter error: What the call threw.
        @inlinable
        public consuming func settle(throwing error: any Error) {
            isSettled = true
            breaker.settle(ticket, throwing: error)
        }

        /// Lets the breaker's classifier decide what a result says about the other side.
        ///
        /// - Parameter result: What the call returned.
        @inlinable
        public consuming func settle<Result>(returning result: Result) {
            isSettled = true
            breaker.settle(ticket, breaker.context.hasResultRules ? breaker.outcome(returning: result) : .success)
        }
    }
}
