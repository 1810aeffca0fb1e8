// SPDX-License-Identifier: Apache-2.0

/// Prepared statements by their text; those that were not used for longest go first.
package struct StatementCache<Statement> {
    private struct Entry {
        var statement: Statement
        var lastUse: UInt64
    }

    private var entries: [String: Entry] = [:]
    private var uses: UInt64 = 0

    package init() {}

    /// How many statements are kept.
    package static var capacity: Int { 256 }

    /// The statement of a text, if it is there.
    package mutating func find(_ text: String) -> Statement? {
        guard let index = entries.index(forKey: text) else { return nil }
        uses += 1
        entries.values[index].lastUse = uses
        return entries.values[index].statement
    }

    /// Keeps the statement of a text.
    ///
    /// - Returns: The statements that had to make room for it, to be ended.
    package mutating func insert(_ statement: Statement, for text: String) -> [Statement] {
        uses += 1
        let gone = entries.count >= Self.capacity && entries[text] == nil ? makeRoom() : []
        entries[text] = Entry(statement: statement, lastUse: uses)
        return gone
    }

    /// A quarter at a time, so that the search for the oldest is paid for by many statements.
    private mutating func makeRoom() -> [Statement] {
        let oldest = entries.sorted { $0.value.lastUse < $1.value.lastUse }.prefix(Self.capacity / 4)
        for (text, _) in oldest { entries[text] = nil }
        return oldest.map(\.value.statement)
    }

    /// Takes the statement of a text out.
    package mutating func remove(_ text: String) -> Statement? {
        entries.removeValue(forKey: text)?.statement
    }

    /// Takes all out.
    ///
    /// - Returns: The statements, to be ended.
    package mutating func removeAll() -> [Statement] {
        defer { entries = [:] }
        return entries.values.map(\.statement)
    }
}
