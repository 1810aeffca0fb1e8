// SPDX-License-Identifier: Apache-2.0

public import DovetailCore

/// What a statement led to.
public struct SQLResult: Sendable {
    /// The rows it returned.
    public var rows: [SQLRow]

    /// How many rows it inserted, updated or deleted.
    public var changes: Int

    /// Creates a result.
    ///
    /// - Parameters:
    ///   - rows: The rows it returned.
    ///   - changes: How many rows it inserted, updated or deleted.
    public init(rows: [SQLRow] = [], changes: Int = 0) {
        self.rows = rows
        self.changes = changes
    }
}

/// A row that a statement returned.
///
/// Values are read by the name or the number of their column, as the type that is expected of them:
///
/// ```swift
/// for row in try await tx.query("SELECT id, cents FROM orders WHERE customer = \(customer)") {
///     print(try row.text("id"), try row.integer("cents"))
/// }
/// ```
public struct SQLRow: Sendable {
    /// The names of the columns, shared by all rows of a result.
    public struct Columns: Sendable {
        /// The names in their order.
        public let names: [String]

        /// Creates columns.
        ///
        /// - Parameter names: The names in their order.
        public init(_ names: [String]) {
            self.names = names
        }
    }

    /// The columns.
    public let columns: Columns

    /// The values in the order of the columns.
    public let values: [SQLValue]

    /// Creates a row.
    ///
    /// - Parameters:
    ///   - columns: The columns.
    ///   - values: The values in the order of the columns.
    public init(columns: Columns, values: [SQLValue]) {
        self.columns = columns
        self.values = values
    }

    /// The value of a column; `nil` if there is no such column.
    ///
    /// - Parameter name: The name of the column.
    public subscript(name: String) -> SQLValue? {
        columns.names.firstIndex(of: name).flatMap { $0 < values.count ? values[$0] : nil }
    }

    /// Reads a whole number.
    ///
    /// - Parameter name: The name of the column.
    /// - Returns: The number.
    /// - Throws: `DatabaseError` with `undecodableRow` if it is something else.
    public func integer(_ name: String) throws -> Int64 {
        try integer(index(of: name))
    }

    /// Reads a number with a fraction; a whole number is one too.
    ///
    /// - Parameter name: The name of the column.
    /// - Returns: The number.
    /// - Throws: `DatabaseError` with `undecodableRow` if it is something else.
    public func real(_ name: String) throws -> Double {
        let index = try index(of: name)
        switch values[index] {
        case .real(let number): return number
        case .integer(let number): return Double(number)
        default: throw mismatch(index, "a number")
        }
    }

    /// Reads text.
    ///
    /// - Parameter name: The name of the column.
    /// - Returns: The text.
    /// - Throws: `DatabaseError` with `undecodableRow` if it is something else.
    public func text(_ name: String) throws -> String {
        try text(index(of: name))
    }

    /// Reads bytes.
    ///
    /// - Parameter name: The name of the column.
    /// - Returns: The bytes.
    /// - Throws: `DatabaseError` with `undecodableRow` if it is something else.
    public func bytes(_ name: String) throws -> Bytes {
        try bytes(index(of: name))
    }

    /// Tells whether a column has no value.
    ///
    /// - Parameter name: The name of the column.
    /// - Returns: Whether it has none.
    /// - Throws: `DatabaseError` with `undecodableRow` if there is no such column.
    public func isNull(_ name: String) throws -> Bool {
        values[try index(of: name)] == .null
    }

    // MARK: By number

    /// Reads a whole number.
    ///
    /// - Parameter column: The number of the column, from 0.
    /// - Returns: The number.
    /// - Throws: `DatabaseError` with `undecodableRow` if it is something else.
    public func integer(_ column: Int) throws -> Int64 {
        guard case .integer(let number) = try value(column) else { throw mismatch(column, "a whole number") }
        return number
    }

    /// Reads text.
    ///
    /// - Parameter column: The number of the column, from 0.
    /// - Returns: The text.
    /// - Throws: `DatabaseError` with `undecodableRow` if it is something else.
    public func text(_ column: Int) throws -> String {
        guard case .text(let text) = try value(column) else { throw mismatch(column, "text") }
        return text
    }

    /// Reads bytes.
    ///
    /// - Parameter column: The number of the column, from 0.
    /// - Returns: The bytes.
    /// - Throws: `DatabaseError` with `undecodableRow` if it is something else.
    public func bytes(_ column: Int) throws -> Bytes {
        guard case .bytes(let bytes) = try value(column) else { throw mismatch(column, "bytes") }
        return bytes
    }

    /// Reads text that may be missing.
    func optionalText(_ column: Int) throws -> String? {
        try value(column) == .null ? nil : text(column)
    }

    /// Reads bytes that may be missing.
    func optionalBytes(_ column: Int) throws -> Bytes? {
        try value(column) == .null ? nil : bytes(column)
    }

    /// Reads a whole number that may be missing.
    func optionalInteger(_ column: Int) throws -> Int64? {
        try value(column) == .null ? nil : integer(column)
    }

    /// Reads how many there are of something, from none to two billion: one more or the sum of some is a number as well, whatever
    /// the row says.
    func count(_ column: Int) throws -> Int {
        Int(Int32(clamping: max(0, try integer(column))))
    }

    private func value(_ column: Int) throws -> SQLValue {
        guard values.indices.contains(column) else { throw missing("number \(column)") }
        return values[column]
    }

    private func index(of name: String) throws -> Int {
        guard let index = columns.names.firstIndex(of: name), index < values.count else { throw missing("'\(name)'") }
        return index
    }

    private func missing(_ column: String) -> DatabaseError {
        DatabaseError(
            .undecodableRow,
            "The row has no column \(column); it has: \(columns.names.joined(separator: ", ")). Name it in the statement."
        )
    }

    private func mismatch(_ column: Int, _ expected: String) -> DatabaseError {
        let name = column < columns.names.count ? columns.names[column] : String(column)
        let found =
            switch values[column] {
            case .null: "no value"
            case .integer: "a whole number"
            case .real: "a number with a fraction"
            case .text: "text"
            case .bytes: "bytes"
            }
        return DatabaseError(.undecodableRow, "The column '\(name)' was read as \(expected), but has \(found).")
    }
}
