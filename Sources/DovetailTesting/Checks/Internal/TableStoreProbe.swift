// SPDX-License-Identifier: Apache-2.0

import DovetailCore

/// The checks of portable tables.
struct TableStoreProbe<DB: TableDatabase>: Sendable {
    let probe: CheckProbe
    let database: DB
    let table: String

    /// Keys that differ in their bytes, in no particular order; some are equal to a person, or to a database that folds.
    private static var keys: [String] {
        [
            "a", "A", "b", "Z", "zz", "z", "10", "9", "a b", "a  b", " a", "a ", "\u{E9}", "e\u{301}", "\u{DF}", "ss",
            "\u{FFFD}", "\u{10000}", "\u{1F600}", "%", "_", "a%b", "a_b", "a'b", "a\"b", "a\\b", "a/b", "a\nb", "",
        ]
    }

    init(_ probe: CheckProbe, on database: DB) {
        self.probe = probe
        self.database = database
        table = probe.name("rows")
    }

    private var store: DB.Tables { database.tableStore }

    @discardableResult
    private func write(_ text: String, at key: String, expecting version: Int64? = nil) async throws -> Int64 {
        try await database.withTransaction { tx in
            try await store.write(Bytes(text.utf8), at: key, to: table, expecting: version, in: tx)
        }
    }

    private func read(_ key: String, from table: String? = nil) async throws -> StoredRow? {
        try await database.withReadTransaction { tx in
            try await store.read(key, from: table ?? self.table, in: tx)
        }
    }

    private func row(_ text: String, version: Int64) -> StoredRow {
        StoredRow(bytes: Bytes(text.utf8), version: version)
    }

    private func scan(prefix: String = "", after: String? = nil, limit: Int = 1000) async throws -> [String] {
        try await database.withReadTransaction { tx in
            try await store.scan(table, prefix: prefix, after: after, limit: limit, in: tx).map(\.key)
        }
    }

    private static func inByteOrder(_ keys: [String]) -> [String] {
        keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }
    }

    /// Compared as bytes: `==` of strings takes two ways to write an accent for one.
    private func require(_ found: [String], is expected: [String], _ what: String) throws {
        guard found.map({ Bytes($0.utf8) }) != expected.map({ Bytes($0.utf8) }) else { return }
        throw probe.failure(
            "\(what): expected the keys \(expected.map(\.debugDescription)), found \(found.map(\.debugDescription)).")
    }

    // MARK: Rows

    func rowsAreReadAsWritten() async throws {
        let texts = [
            "1", "null", "\"\"", #"{"a":"\u00e9 \" \\ \/ \n"}"#, "{\"b\":\"\u{E9}e\u{301}\u{1F600}\"}", "{ \"a\" : 1 }",
            "\"" + String(repeating: "x", count: 100_000) + "\"",
        ]
        for (number, text) in texts.enumerated() { try await write(text, at: String(number)) }
        for (number, text) in texts.enumerated() {
            guard let found = try await read(String(number)) else { throw probe.failure("Row \(number) is not there.") }
            try probe.require(found.bytes == Bytes(text.utf8), "Row \(number) was not read as it was written.")
        }
        try probe.require(try await read("never written"), is: nil, "A row that was never written")
    }

    func versionsRise() async throws {
        for version in 1...3 as ClosedRange<Int64> {
            try probe.require(try await write("\(version)", at: "a"), is: version, "The version after write \(version)")
            try probe.require(
                try await read("a"), is: row("\(version)", version: version), "The row after write \(version)")
        }
        let versions = try await database.withTransaction { tx in
            [
                try await store.write(Bytes("4".utf8), at: "a", to: table, expecting: 3, in: tx),
                try await store.write(Bytes("5".utf8), at: "a", to: table, expecting: 4, in: tx),
            ]
        }
        try probe.require(versions, is: [4, 5], "The versions of two writes in one transaction")
        try probe.require(try await read("a"), is: row("5", version: 5), "The row after them")
    }

    func expectedVersionIsChecked() async throws {
        try await write("1", at: "a", expecting: 0)
        try await write("2", at: "a", expecting: 1)
        for version in [0, 1, 3] as [Int64] {
            try await probe.require(
                .versionConflict, "Writing a row of version 2 that is expected at version \(version)"
            ) {
                try await write("3", at: "a", expecting: version)
            }
        }
        try await probe.require(.versionConflict, "Writing a row that is expected at version 1 and does not exist") {
            try await write("3", at: "b", expecting: 1)
        }
        try probe.require(try await read("a"), is: row("2", version: 2), "The row after the refused writes")
        try probe.require(try await read("b"), is: nil, "The other row")
        try await probe.require(.versionConflict, "Writing a row twice in a transaction, each time expecting version 2")
        {
            try await database.withTransaction { tx in
                try await store.write(Bytes("3".utf8), at: "a", to: table, expecting: 2, in: tx)
                try await store.write(Bytes("4".utf8), at: "a", to: table, expecting: 2, in: tx)
            }
        }
    }

    func oneMakesTheRow() async throws {
        let made = Shared<[String]>([])
        try await probe.together(
            "Making a row by eight at once",
            (0..<8).map { number in
                {
                    do {
                        try await write(String(number), at: "a", expecting: 0)
                        made.withLock { $0.append(String(number)) }
                    } catch let error as DatabaseError where error.code == .versionConflict || error.code.isTransient {
                        // Another was first.
                    }
                }
            }
        )
        let winners = made.withLock { $0 }
        try probe.require(winners.count, is: 1, "How many of eight made the same row")
        try probe.require(try await read("a"), is: row(winners[0], version: 1), "The row")
    }

    func deletedIsGone() async throws {
        try await write("1", at: "a")
        try await write("2", at: "a")
        let (first, second) = try await database.withTransaction { tx in
            let first = try await store.delete("a", from: table, in: tx)
            return (first, try await store.delete("a", from: table, in: tx))
        }
        try probe.require(first, is: true, "Deleting a row that is there")
        try probe.require(second, is: false, "Deleting it again in the same transaction")
        try probe.require(try await read("a"), is: nil, "The deleted row")
        let third = try await database.withTransaction { tx in try await store.delete("a", from: table, in: tx) }
        try probe.require(third, is: false, "Deleting a row that is not there")
        try probe.require(try await write("3", at: "a", expecting: 0), is: 1, "The version of a row made anew")
    }

    func tablesAreSeparate() async throws {
        let other = probe.name("other")
        try await write("1", at: "a")
        try await database.withTransaction { tx in
            try await store.write(Bytes("2".utf8), at: "a", to: other, expecting: 0, in: tx)
            try await store.write(Bytes("2".utf8), at: "b", to: other, expecting: 0, in: tx)
        }
        try probe.require(try await read("a"), is: row("1", version: 1), "The row of the first table")
        try probe.require(try await read("a", from: other), is: row("2", version: 1), "The row of the second table")
        try require(try await scan(), is: ["a"], "A scan of the first table")
        try await database.withTransaction { tx in _ = try await store.delete("a", from: table, in: tx) }
        try probe.require(
            try await read("a", from: other), is: row("2", version: 1), "The row of the second table afterwards")
    }

    func keysAreBytes() async throws {
        for (number, key) in Self.keys.enumerated() { try await write(String(number), at: key, expecting: 0) }
        for (number, key) in Self.keys.enumerated() {
            try probe.require(
                try await read(key), is: row(String(number), version: 1), "The row with the key \(key.debugDescription)"
            )
        }
    }

    // MARK: Scans

    func scanIsInByteOrder() async throws {
        for key in Self.keys { try await write("1", at: key) }
        try require(try await scan(), is: Self.inByteOrder(Self.keys), "A scan")
        let rows = try await database.withTransaction { tx in
            try await store.scan(table, prefix: "", after: nil, limit: 1000, in: tx)
        }
        try require(rows.map(\.key), is: Self.inByteOrder(Self.keys), "A scan in a transaction that may write")
        try probe.require(
            rows.allSatisfy { $0.row == row("1", version: 1) }, "A scan gave rows that are not those written.")
    }

    func scanTakesPrefix() async throws {
        for key in Self.keys { try await write("1", at: key) }
        for prefix in [
            "a", "A", "a%", "a_", "%", "a'", "a\\", "\u{E9}", "e", "\u{FFFD}", "\u{1F600}", "zzz", "\u{10FFFF}",
        ] {
            let expected = Self.inByteOrder(Self.keys.filter { $0.utf8.starts(with: prefix.utf8) })
            try require(
                try await scan(prefix: prefix), is: expected, "A scan with the prefix \(prefix.debugDescription)")
        }
    }

    func scanIsPaged() async throws {
        let keys = (0..<25).map { "k/\($0)" } + ["j", "l"]
        for key in keys { try await write("1", at: key) }
        for (prefix, expected) in [("", keys), ("k/", keys.filter { $0.hasPrefix("k/") })] {
            var found: [String] = []
            while true {
                let page = try await scan(prefix: prefix, after: found.last, limit: 4)
                try probe.require(page.count <= 4, "A page of at most 4 rows has \(page.count).")
                if page.isEmpty { break }
                found += page
                try probe.require(found.count <= keys.count, "Pages repeat rows: \(found)")
            }
            try require(found, is: Self.inByteOrder(expected), "The pages with the prefix '\(prefix)' together")
        }
        try require(try await scan(prefix: "k/", after: "k/3", limit: 1), is: ["k/4"], "A page behind 'k/3'")
        try require(
            try await scan(prefix: "k/", after: "a", limit: 1), is: ["k/0"], "A page behind a key before the prefix")
        try require(try await scan(after: "k/55", limit: 1), is: ["k/6"], "A page behind a key that is not there")
        try require(try await scan(limit: 0), is: [], "A page of no rows")
    }

    func scanSeesOwnWrites() async throws {
        for key in ["b", "d", "f"] { try await write("1", at: key) }
        try await database.withTransaction { tx in
            for key in ["a", "c", "g", "d"] {
                try await store.write(Bytes("2".utf8), at: key, to: table, expecting: nil, in: tx)
            }
            try await store.delete("f", from: table, in: tx)
            let rows = try await store.scan(table, prefix: "", after: nil, limit: 1000, in: tx)
            try require(rows.map(\.key), is: ["a", "b", "c", "d", "g"], "A scan within the transaction")
            try probe.require(rows[3].row, is: row("2", version: 2), "A row that the transaction changed")
            let page = try await store.scan(table, prefix: "", after: "b", limit: 2, in: tx).map(\.key)
            try require(page, is: ["c", "d"], "A page within the transaction")
            try await store.delete("a", from: table, in: tx)
            let first = try await store.scan(table, prefix: "", after: nil, limit: 1, in: tx).map(\.key)
            try require(first, is: ["b"], "A page after a row of the transaction's own was deleted again")
        }
        try require(try await scan(), is: ["b", "c", "d", "g"], "A scan after the commit")
    }
}
