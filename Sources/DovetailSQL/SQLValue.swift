// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// A value of a column or of a parameter.
///
/// ```swift
/// let values: [SQLValue] = [7, "book", nil, .bytes([1, 2, 3])]
/// ```
public enum SQLValue: Sendable, Hashable {
    /// No value.
    case null

    /// A whole number.
    case integer(Int64)

    /// A number with a fraction.
    case real(Double)

    /// Text.
    case text(String)

    /// Bytes as they are.
    case bytes(Bytes)
}

extension SQLValue: ExpressibleByNilLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByStringLiteral, ExpressibleByBooleanLiteral
{
    /// Creates the absence of a value.
    ///
    /// - Parameter nilLiteral: Nothing.
    public init(nilLiteral: ()) {
        self = .null
    }

    /// Creates a whole number.
    ///
    /// - Parameter value: The number.
    public init(integerLiteral value: Int64) {
        self = .integer(value)
    }

    /// Creates a number with a fraction.
    ///
    /// - Parameter value: The number.
    public init(floatLiteral value: Double) {
        self = .real(value)
    }

    /// Creates text.
    ///
    /// - Parameter value: The text.
    public init(stringLiteral value: String) {
        self = .text(value)
    }

    /// Creates a truth value: the number 1 or 0, since not every database has a type for it.
    ///
    /// - Parameter value: The truth value.
    public init(booleanLiteral value: Bool) {
        self = .integer(value ? 1 : 0)
    }
}

/// What can be given to a statement as a value.
public protocol SQLConvertible {
    /// The value as the database keeps it.
    var sqlValue: SQLValue { get }
}

extension SQLValue: SQLConvertible {
    /// The value itself.
    public var sqlValue: SQLValue { self }
}

extension Int: SQLConvertible {
    /// A whole number.
    public var sqlValue: SQLValue { .integer(Int64(self)) }
}

extension Int32: SQLConvertible {
    /// A whole number.
    public var sqlValue: SQLValue { .integer(Int64(self)) }
}

extension Int64: SQLConvertible {
    /// A whole number.
    public var sqlValue: SQLValue { .integer(self) }
}

extension Double: SQLConvertible {
    /// A number with a fraction.
    public var sqlValue: SQLValue { .real(self) }
}

extension Bool: SQLConvertible {
    /// The number 1 or 0.
    public var sqlValue: SQLValue { .integer(self ? 1 : 0) }
}

extension String: SQLConvertible {
    /// Text.
    public var sqlValue: SQLValue { .text(self) }
}

extension [UInt8]: SQLConvertible {
    /// Bytes as they are.
    public var sqlValue: SQLValue { .bytes(self) }
}

extension Optional: SQLConvertible where Wrapped: SQLConvertible {
    /// The value, or the absence of one.
    public var sqlValue: SQLValue { map(\.sqlValue) ?? .null }
}
