public struct TraceContext: Sendable, Hashable {}
public struct Baggage: Sendable, Hashable {}
