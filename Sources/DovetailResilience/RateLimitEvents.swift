// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A call waited for its turn at a ``RateLimiter`` and got it.
public struct CallHeldBack: InstrumentEvent {
    /// `dovetail.call.held_back`.
    public static let name = "dovetail.call.held_back"

    /// The name of the limiter.
    public let limiter: String

    /// How long it waited.
    public let wait: Duration

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - limiter: The name of the limiter.
    ///   - wait: How long it waited.
    public init(limiter: String, wait: Duration) {
        self.limiter = limiter
        self.wait = wait
    }

    /// How long it waited.
    public var duration: Duration? { wait }

    /// The name of the limiter.
    ///
    /// - Parameter visit: Called with the name and the value.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.limiter", limiter)
    }
}

/// A call was refused by a ``RateLimiter``.
public struct CallRateLimited: InstrumentEvent {
    /// `dovetail.call.rate_limited`.
    public static let name = "dovetail.call.rate_limited"

    /// The name of the limiter.
    public let limiter: String

    /// Why it was refused.
    public let code: RateLimitError.Code

    /// How long it would have waited for its turn.
    public let retryAfter: Duration

    /// Creates the event.
    ///
    /// - Parameters:
    ///   - limiter: The name of the limiter.
    ///   - code: Why the call was refused.
    ///   - retryAfter: How long it would have waited for its turn.
    public init(limiter: String, code: RateLimitError.Code, retryAfter: Duration) {
        self.limiter = limiter
        self.code = code
        self.retryAfter = retryAfter
    }

    /// How long it would have waited for its turn.
    public var duration: Duration? { retryAfter }

    /// The name of the limiter, and why the call was refused.
    ///
    /// - Parameter visit: Called with the name and the value of each.
    public func visitDimensions(_ visit: (_ name: StaticString, _ value: String) -> Void) {
        visit("dovetail.limiter", limiter)
        visit("dovetail.call.reason", code.description)
    }
}
