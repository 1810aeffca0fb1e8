// SPDX-License-Identifier: Apache-2.0

/// How long the checks of databases and stores wait.
///
/// In virtual time waits cost nothing. Against a server, the spans must be longer than it takes for an answer.
public struct StoreCheckPatience: Sendable, Hashable {
    /// How long the leases, delays and retentions are whose end a check waits for.
    public var span: Duration

    /// How much later than it should be something may be noticed; added to each wait for the end of a span.
    public var slack: Duration

    /// After what time something that should happen counts as not happening.
    public var limit: Duration

    /// Creates a patience.
    ///
    /// - Parameters:
    ///   - span: How long the leases, delays and retentions are whose end a check waits for.
    ///   - slack: How much later than it should be something may be noticed.
    ///   - limit: After what time something that should happen counts as not happening.
    public init(
        span: Duration = .milliseconds(400), slack: Duration = .milliseconds(100), limit: Duration = .seconds(10)
    ) {
        self.span = span
        self.slack = slack
        self.limit = limit
    }
}
