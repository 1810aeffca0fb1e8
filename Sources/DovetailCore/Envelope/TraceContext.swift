// SPDX-License-Identifier: Apache-2.0

/// The trace that a message belongs to, as W3C Trace Context carries it from one service to the next.
///
/// ```swift
/// let incoming = TraceContext.extract(from: headers)
/// let outgoing = incoming?.child(using: &random) ?? .root(isSampled: true, using: &random)
/// request.headers += outgoing.headers
/// ```
public struct TraceContext: Sendable, Hashable {
    /// The trace, the parent span and the flags.
    public var traceParent: TraceParent

    /// What tracing systems along the way have added, if any.
    public var traceState: TraceState?

    /// The name of the header field of ``traceParent``.
    public static let traceParentName = "traceparent"

    /// The name of the header field of ``traceState``.
    public static let traceStateName = "tracestate"

    /// Creates a context.
    ///
    /// - Parameters:
    ///   - traceParent: The trace, the parent span and the flags.
    ///   - traceState: What tracing systems along the way have added.
    public init(traceParent: TraceParent, traceState: TraceState? = nil) {
        self.traceParent = traceParent
        self.traceState = traceState
    }

    /// Reads the context from header fields.
    ///
    /// Names match in any case, and white space around values is dropped. A `traceparent` that is missing, malformed or there twice means
    /// that there is no trace to continue, whatever `tracestate` says. Several fields of `tracestate` are one list in the order of the
    /// fields; a malformed list is dropped and the trace goes on. The rules are in
    /// [Trace Context, 4.3](https://www.w3.org/TR/trace-context/#a-traceparent-is-received).
    ///
    /// - Parameter headers: All header fields, in the order in which they came.
    /// - Returns: The context, or `nil` if a new trace must be started.
    public static func extract(from headers: [(name: String, value: String)]) -> TraceContext? {
        var traceParent: TraceParent?
        var states: [String] = []
        for (name, value) in headers {
            if matches(name, traceParentName) {
                guard traceParent == nil, let parsed = parse(value) else { return nil }
                traceParent = parsed
            } else if matches(name, traceStateName) {
                states.append(value)
            }
        }
        guard let traceParent else { return nil }
        let state = states.isEmpty ? nil : TraceState(combining: states)
        return TraceContext(traceParent: traceParent, traceState: state?.isEmpty == false ? state : nil)
    }

    /// Starts a trace.
    ///
    /// - Parameters:
    ///   - isSampled: Whether the trace is to be recorded.
    ///   - random: Where the identifiers come from.
    /// - Returns: A context with a new trace identifier and a new span identifier.
    public static func root(isSampled: Bool, using random: inout some RandomNumberGenerator) -> TraceContext {
        let start = TraceParent(
            startingTrace: (random.next(), random.next()),
            spanID: random.next(),
            flags: isSampled ? TraceParent.sampledFlag : 0
        )
        return TraceContext(traceParent: start)
    }

    /// Returns the context to send from a new span of the same trace.
    ///
    /// - Parameter random: Where the identifier of the span comes from.
    /// - Returns: The same trace and state with a new parent span.
    public func child(using random: inout some RandomNumberGenerator) -> TraceContext {
        var spanID: UInt64 = random.next()
        // Zero becomes 1 below, so a parent of 1 must not be followed by either.
        if max(spanID, 1) == traceParent.parentID {
            spanID = traceParent.parentID == .max ? 1 : traceParent.parentID + 1
        }
        return TraceContext(traceParent: traceParent.child(spanID: spanID), traceState: traceState)
    }

    /// The header fields that carry the context.
    public var headers: [(name: String, value: String)] {
        var headers = [(name: Self.traceParentName, value: traceParent.text)]
        if let traceState, !traceState.isEmpty {
            headers.append((name: Self.traceStateName, value: traceState.text))
        }
        return headers
    }

    private static func matches(_ name: String, _ lowerCaseName: String) -> Bool {
        name.utf8.count == lowerCaseName.utf8.count
            && zip(name.utf8, lowerCaseName.utf8).allSatisfy { byte, expected in
                (byte &- 65 < 26 ? byte | 0x20 : byte) == expected
            }
    }

    private static func parse(_ value: String) -> TraceParent? {
        var value = value
        return value.withUTF8 { TraceParent(buffer: UnsafeBufferPointer(rebasing: $0.trimmingOptionalWhiteSpace())) }
    }
}
