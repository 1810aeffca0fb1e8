// SPDX-License-Identifier: Apache-2.0

/// The attributes of a CloudEvent that an envelope has a field for.
///
/// The first eight are those of the specification itself; a value of theirs that is not valid makes the event invalid. The
/// others are extensions; a value of theirs that cannot be understood is kept as it came.
enum CloudEventsAttribute: Int, CaseIterable {
    case specVersion
    case id
    case source
    case type
    case subject
    case time
    case dataContentType
    case dataSchema
    case partitionKey
    case traceParent
    case traceState
    case baggage
    case correlationID
    case causationID
    case expiryTime
    case messageVersion
    case notBefore
    case tenant
    case headers

    /// The name on the wire.
    var name: StaticString {
        switch self {
        case .specVersion: "specversion"
        case .id: "id"
        case .source: "source"
        case .type: "type"
        case .subject: "subject"
        case .time: "time"
        case .dataContentType: "datacontenttype"
        case .dataSchema: "dataschema"
        case .partitionKey: "partitionkey"
        case .traceParent: "traceparent"
        case .traceState: "tracestate"
        case .baggage: "baggage"
        case .correlationID: "correlationid"
        case .causationID: "causationid"
        case .expiryTime: "expirytime"
        case .messageVersion: "messageversion"
        case .notBefore: "notbefore"
        case .tenant: "tenant"
        case .headers: "dovetailheaders"
        }
    }

    /// The length of the longest name.
    static let longestName = 15

    /// Tells whether the attribute belongs to the specification itself.
    var isCore: Bool { rawValue <= Self.dataSchema.rawValue }

    /// Finds the attribute with a name.
    init?(name: UnsafeBufferPointer<UInt8>) {
        guard name.count >= 2, let candidate = Self.candidate(length: name.count, secondLetter: name[1]),
            candidate.isNamed(name)
        else { return nil }
        self = candidate
    }

    init?(name: String) {
        var name = name
        guard let attribute = name.withUTF8({ Self(name: $0) }) else { return nil }
        self = attribute
    }

    /// The one attribute that a name of this length with this second letter can be.
    ///
    /// Every attribute of every event that is read passes here.
    @inline(__always)
    static func candidate(length: Int, secondLetter letter: UInt8) -> Self? {
        switch length {
        case 2: .id
        case 4: letter == UInt8(ascii: "y") ? .type : .time
        case 6: letter == UInt8(ascii: "o") ? .source : .tenant
        case 7: letter == UInt8(ascii: "u") ? .subject : .baggage
        case 9: .notBefore
        case 10:
            letter == UInt8(ascii: "a") ? .dataSchema : letter == UInt8(ascii: "x") ? .expiryTime : .traceState
        case 11:
            letter == UInt8(ascii: "p") ? .specVersion : letter == UInt8(ascii: "r") ? .traceParent : .causationID
        case 12: .partitionKey
        case 13: .correlationID
        case 14: .messageVersion
        case 15: letter == UInt8(ascii: "a") ? .dataContentType : .headers
        default: nil
        }
    }

    private func isNamed(_ other: UnsafeBufferPointer<UInt8>) -> Bool {
        let own = UnsafeRawBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount)
        return Self.areEqual(UnsafeRawBufferPointer(other), own)
    }

    /// Compares two or more bytes with as many others, in words of which the last two may overlap.
    @inline(__always)
    static func areEqual(_ bytes: UnsafeRawBufferPointer, _ others: UnsafeRawBufferPointer) -> Bool {
        func areEqual<Word: FixedWidthInteger & BitwiseCopyable>(at offset: Int, _: Word.Type) -> Bool {
            bytes.loadUnaligned(fromByteOffset: offset, as: Word.self)
                == others.loadUnaligned(fromByteOffset: offset, as: Word.self)
        }
        let count = bytes.count
        if count < 4 { return areEqual(at: 0, UInt16.self) && areEqual(at: count - 2, UInt16.self) }
        if count < 8 { return areEqual(at: 0, UInt32.self) && areEqual(at: count - 4, UInt32.self) }
        var offset = 0
        while offset + 8 < count {
            if !areEqual(at: offset, UInt64.self) { return false }
            offset += 8
        }
        return areEqual(at: count - 8, UInt64.self)
    }

    /// Tells whether a name is one that an attribute may have: lower-case letters and digits, but not `data`.
    ///
    /// See [Naming conventions](https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md#naming-conventions).
    static func isValidName(_ name: UnsafeBufferPointer<UInt8>) -> Bool {
        guard !name.isEmpty, !name.elementsEqual("data".utf8) else { return false }
        return name.allSatisfy { $0 &- 97 < 26 || $0 &- 48 < 10 }
    }
}
