// SPDX-License-Identifier: Apache-2.0

/// Where a message stands in a distributed trace: the trace, the span that sent it, and whether it is recorded.
///
/// This is the `traceparent` field of [W3C Trace Context](https://www.w3.org/TR/trace-context/#traceparent-header), level 1; the
/// random flag of level 2 passes through. Neither identifier is ever zero.
///
/// ```swift
/// let parent = TraceParent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
/// let recorded = parent?.isSampled
/// ```
public struct TraceParent: Sendable, Hashable {
    /// The version that the sender spoke; 0 for values made here.
    public let version: UInt8

    /// The first eight bytes of the trace identifier.
    public let traceIDHigh: UInt64

    /// The last eight bytes of the trace identifier.
    public let traceIDLow: UInt64

    /// The identifier of the span that is the parent of what follows.
    public let parentID: UInt64

    /// The flags as received: 1 is sampled, 2 says that the trace identifier is random.
    public let flags: UInt8

    static let sampledFlag: UInt8 = 0b01
    private static let knownFlags: UInt8 = 0b11

    /// Creates a value of version 0 from its parts, or `nil` if an identifier is zero.
    ///
    /// - Parameters:
    ///   - traceIDHigh: The first eight bytes of the trace identifier.
    ///   - traceIDLow: The last eight bytes of the trace identifier; one of the two is not zero.
    ///   - parentID: The identifier of the parent span, not zero.
    ///   - flags: The flags; see ``flags``.
    public init?(traceIDHigh: UInt64, traceIDLow: UInt64, parentID: UInt64, flags: UInt8 = 0) {
        self.init(version: 0, traceIDHigh: traceIDHigh, traceIDLow: traceIDLow, parentID: parentID, flags: flags)
    }

    private init?(version: UInt8, traceIDHigh: UInt64, traceIDLow: UInt64, parentID: UInt64, flags: UInt8) {
        guard traceIDHigh | traceIDLow != 0, parentID != 0 else { return nil }
        self.version = version
        self.traceIDHigh = traceIDHigh
        self.traceIDLow = traceIDLow
        self.parentID = parentID
        self.flags = flags
    }

    /// The 32 lower-case hexadecimal digits of the trace identifier.
    public var traceID: String {
        String(unsafeUninitializedCapacity: 32) { buffer in
            Hex.write(traceIDHigh, at: 0, in: buffer)
            Hex.write(traceIDLow, at: 16, in: buffer)
            return 32
        }
    }

    /// Tells whether the sender may have recorded the trace.
    public var isSampled: Bool { flags & Self.sampledFlag != 0 }

    /// Returns the value that a new span of the same trace hands on.
    ///
    /// - Parameter spanID: The identifier of the new span; zero, which is not allowed, becomes 1.
    /// - Returns: A value of version 0 with that span as parent, and with the flags that this version knows.
    public func child(spanID: UInt64) -> TraceParent {
        TraceParent(childOf: self, spanID: max(spanID, 1))
    }

    private init(childOf parent: TraceParent, spanID: UInt64) {
        version = 0
        traceIDHigh = parent.traceIDHigh
        traceIDLow = parent.traceIDLow
        parentID = spanID
        flags = parent.flags & Self.knownFlags
    }

    /// Starts a trace; an identifier of zero, which is not allowed, becomes 1.
    init(startingTrace traceID: (high: UInt64, low: UInt64), spanID: UInt64, flags: UInt8) {
        version = 0
        traceIDHigh = traceID.high
        traceIDLow = traceID.high | traceID.low == 0 ? 1 : traceID.low
        parentID = max(spanID, 1)
        self.flags = flags
    }

    /// The text for the wire.
    ///
    /// A value of version 0 is written as it was read. One of a later version is written as version 0, the only one spoken here,
    /// with the flags that are known.
    public var text: String {
        String(unsafeUninitializedCapacity: Self.length) { buffer in
            buffer[0] = UInt8(ascii: "0")
            buffer[1] = UInt8(ascii: "0")
            for dash in [2, 35, 52] { buffer[dash] = UInt8(ascii: "-") }
            Hex.write(traceIDHigh, at: 3, in: buffer)
            Hex.write(traceIDLow, at: 19, in: buffer)
            Hex.write(parentID, at: 36, in: buffer)
            let sent = version == 0 ? flags : flags & Self.knownFlags
            buffer[53] = Self.digit(sent >> 4)
            buffer[54] = Self.digit(sent & 0xf)
            return Self.length
        }
    }

    /// The length of a text of version 0.
    private static let length = 55

    private static func digit(_ nibble: UInt8) -> UInt8 {
        nibble < 10 ? nibble + 48 : nibble + 87
    }
}

extension TraceParent: LosslessStringConvertible {
    /// Reads a value from its text, by the rules of the specification and no looser ones.
    ///
    /// The result is `nil` for a version of `ff`, for digits in upper case, for a zero identifier, and for a text of version `00` that has
    /// more or less than the four parts. A text of a later version may go on after a further `-`; its first four parts are read.
    ///
    /// - Parameter text: The text, without surrounding white space.
    public init?(_ text: String) {
        var text = text
        guard let parsed = text.withUTF8({ TraceParent(buffer: $0) }) else { return nil }
        self = parsed
    }

    /// The text for the wire; see ``text``.
    public var description: String { text }

    init?(buffer text: UnsafeBufferPointer<UInt8>) {
        guard text.count >= Self.length, [2, 35, 52].allSatisfy({ text[$0] == UInt8(ascii: "-") }),
            let version = Hex.parse(text, 0..<2, acceptsUpperCase: false), version != 0xff,
            let traceIDHigh = Hex.parse(text, 3..<19, acceptsUpperCase: false),
            let traceIDLow = Hex.parse(text, 19..<35, acceptsUpperCase: false),
            let parentID = Hex.parse(text, 36..<52, acceptsUpperCase: false),
            let flags = Hex.parse(text, 53..<55, acceptsUpperCase: false)
        else { return nil }
        if text.count > Self.length {
            guard version != 0, text[Self.length] == UInt8(ascii: "-") else { return nil }
        }
        self.init(
            version: UInt8(truncatingIfNeeded: version),
            traceIDHigh: traceIDHigh,
            traceIDLow: traceIDLow,
            parentID: parentID,
            flags: UInt8(truncatingIfNeeded: flags)
        )
    }
}
