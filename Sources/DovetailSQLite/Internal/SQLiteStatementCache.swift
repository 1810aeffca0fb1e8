// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import CSQLite

    /// Prepared statements by their text; those that were not used for longest go first.
    struct SQLiteStatementCache {
        private struct Entry {
            let statement: OpaquePointer
            var lastUse: UInt64
        }

        private var entries: [String: Entry] = [:]
        private var uses: UInt64 = 0

        /// How many statements are kept.
        static var capacity: Int { 256 }

        var count: Int { entries.count }

        /// The statement of a text, prepared if it is not there.
        mutating func statement(
            _ text: String, prepare: (String) throws -> OpaquePointer
        ) rethrows -> OpaquePointer {
            uses += 1
            if let index = entries.index(forKey: text) {
                entries.values[index].lastUse = uses
                return entries.values[index].statement
            }
            let statement = try prepare(text)
            if entries.count >= Self.capacity { makeRoom() }
            entries[text] = Entry(statement: statement, lastUse: uses)
            return statement
        }

        /// A quarter at a time, so that the search for the oldest is paid for by many statements.
        private mutating func makeRoom() {
            for (text, entry) in entries.sorted(by: { $0.value.lastUse < $1.value.lastUse }).prefix(Self.capacity / 4) {
                sqlite3_finalize(entry.statement)
                entries[text] = nil
            }
        }

        mutating func removeAll() {
            for entry in entries.values { sqlite3_finalize(entry.statement) }
            entries = [:]
        }
    }
#endif
