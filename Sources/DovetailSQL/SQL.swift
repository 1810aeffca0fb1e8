// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// A statement as one writes it, with values in their places.
///
/// A value that is interpolated never becomes part of the text: it travels beside it as a bound parameter, so no value can change
/// what the statement means.
///
/// ```swift
/// try await tx.execute("UPDATE orders SET state = \(state) WHERE id = \(order.id)")
/// try await tx.execute("DELETE FROM \(raw: table) WHERE id = \(order.id)")     // the name of a table cannot be a parameter
/// ```
public struct SQL: Sendable, Hashable {
    /// The text between the values; one more than there are values.
    private(set) var fragments: [String]

    /// The values in their order.
    public private(set) var parameters: [SQLValue]

    /// Creates a statement without values.
    ///
    /// - Parameter text: The text, taken as it is. Never put into it what came from outside.
    public init(raw text: String) {
        fragments = [text]
        parameters = []
    }

    /// Puts the text together for a dialect.
    ///
    /// - Parameter dialect: Says how parameters are written.
    /// - Returns: The text with its parameters.
    public func statement(for dialect: SQLDialect) -> SQLStatement {
        guard !parameters.isEmpty else { return SQLStatement(fragments[0], []) }
        var text = ""
        text.reserveCapacity(fragments.reduce(parameters.count * 4) { $0 + $1.utf8.count })
        text += fragments[0]
        for index in parameters.indices {
            text += dialect.placeholder
            text += String(index + 1)
            text += fragments[index + 1]
        }
        return SQLStatement(text, parameters)
    }

    /// Adds another piece at the end.
    ///
    /// - Parameters:
    ///   - left: The beginning.
    ///   - right: The piece to add.
    public static func += (left: inout SQL, right: SQL) {
        left.fragments[left.fragments.count - 1] += right.fragments[0]
        left.fragments += right.fragments.dropFirst()
        left.parameters += right.parameters
    }

    /// A list of values with commas between them, for `IN (…)`.
    ///
    /// - Parameter values: The values, at least one.
    /// - Returns: The list without its parentheses.
    public static func list(_ values: some Sequence<some SQLConvertible>) -> SQL {
        var list = SQL(raw: "")
        for value in values {
            if !list.parameters.isEmpty { list.add(text: ", ") }
            list.add(value.sqlValue)
        }
        return list
    }

    /// The same with U+FFFD in place of the character zero in its texts, for what must be kept whatever came from outside.
    ///
    /// PostgreSQL keeps no text with a zero.
    var storable: SQL {
        var sql = self
        sql.parameters = parameters.map { value -> SQLValue in
            guard case .text(let text) = value else { return value }
            return .text(FailureDetail.storable(text))
        }
        return sql
    }

    private mutating func add(text: String) {
        fragments[fragments.count - 1] += text
    }

    private mutating func add(_ value: SQLValue) {
        parameters.append(value)
        fragments.append("")
    }
}

extension SQL: ExpressibleByStringInterpolation {
    /// Creates a statement without values.
    ///
    /// - Parameter value: The text.
    public init(stringLiteral value: String) {
        self.init(raw: value)
    }

    /// Creates a statement from its pieces.
    ///
    /// - Parameter interpolation: The pieces.
    public init(stringInterpolation interpolation: Interpolation) {
        self = interpolation.sql
    }

    /// Gathers the pieces of a statement.
    public struct Interpolation: StringInterpolationProtocol {
        fileprivate var sql = SQL(raw: "")

        /// Begins a statement.
        ///
        /// - Parameters:
        ///   - literalCapacity: How much text there will be.
        ///   - interpolationCount: How many values there will be.
        public init(literalCapacity: Int, interpolationCount: Int) {
            sql.parameters.reserveCapacity(interpolationCount)
            sql.fragments.reserveCapacity(interpolationCount + 1)
        }

        /// Adds text that stands in the source.
        ///
        /// - Parameter literal: The text.
        public mutating func appendLiteral(_ literal: String) {
            sql.add(text: literal)
        }

        /// Adds a value as a parameter.
        ///
        /// - Parameter value: The value.
        public mutating func appendInterpolation(_ value: some SQLConvertible) {
            sql.add(value.sqlValue)
        }

        /// Adds a value as a parameter, or the absence of one.
        ///
        /// - Parameter value: The value.
        public mutating func appendInterpolation<Value: SQLConvertible>(_ value: Value?) {
            sql.add(value.sqlValue)
        }

        /// Adds another piece with its own values.
        ///
        /// - Parameter piece: The piece.
        public mutating func appendInterpolation(_ piece: SQL) {
            sql += piece
        }

        /// Adds text as it is, such as the name of a table.
        ///
        /// Never give it what came from outside.
        ///
        /// - Parameter text: The text.
        public mutating func appendInterpolation(raw text: String) {
            sql.add(text: text)
        }
    }
}

/// A statement in the dialect of a connection, with the values of its parameters.
public struct SQLStatement: Sendable, Hashable {
    /// The text.
    ///
    /// Parameters are numbered from 1 in the order in which they stand, and each stands once.
    public let text: String

    /// The values of the parameters.
    public let parameters: [SQLValue]

    /// Creates a statement.
    ///
    /// - Parameters:
    ///   - text: The text.
    ///   - parameters: The values of the parameters.
    public init(_ text: String, _ parameters: [SQLValue]) {
        self.text = text
        self.parameters = parameters
    }
}
