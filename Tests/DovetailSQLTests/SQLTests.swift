// SPDX-License-Identifier: Apache-2.0

import DovetailCore
import DovetailTesting
import Testing

@testable import DovetailSQL

@Suite struct SQLTests {
    @Test("A value is a parameter and never part of the text")
    func valuesAreParameters() {
        let evil = "'; DROP TABLE orders; --"
        let sql: SQL = "UPDATE orders SET state = \(evil) WHERE id = \(7) AND note = \(nil as String?)"
        let statement = sql.statement(for: .sqlite)
        #expect(statement.text == "UPDATE orders SET state = ?1 WHERE id = ?2 AND note = ?3")
        #expect(statement.parameters == [.text(evil), .integer(7), .null])
    }

    @Test("Pieces bring their values along, in the order of their places")
    func piecesAreJoined() {
        var sql: SQL = "SELECT \(1) WHERE \("a = \(2) OR b IN (\(SQL.list([3, 4])))" as SQL) AND c = \(5)"
        sql += " LIMIT \(6)"
        let statement = sql.statement(for: .sqlite)
        #expect(statement.text == "SELECT ?1 WHERE a = ?2 OR b IN (?3, ?4) AND c = ?5 LIMIT ?6")
        #expect(statement.parameters == [1, 2, 3, 4, 5, 6])
    }

    @Test("Names are text, taken as they are")
    func namesAreText() {
        let statement = ("DELETE FROM \(raw: "t") WHERE id = \(true)" as SQL).statement(for: .sqlite)
        #expect(statement == SQLStatement("DELETE FROM t WHERE id = ?1", [1]))
    }

    @Test("Each kind of value keeps its kind")
    func kinds() {
        let statement =
            ("\(1) \(Int64.min) \(0.5) \("t") \([1, 2] as Bytes) \(false) \(Int32(3)) \(SQLValue.null)" as SQL)
            .statement(for: .sqlite)
        #expect(
            statement.parameters == [1, .integer(.min), .real(0.5), .text("t"), .bytes([1, 2]), 0, 3, .null]
        )
        #expect([nil, 1, 0.5, "t", true] as [SQLValue] == [.null, .integer(1), .real(0.5), .text("t"), .integer(1)])
    }

    @Test("A row is read by name and by number as what is expected, or refused by name")
    func rows() throws {
        let row = SQLRow(
            columns: SQLRow.Columns(["id", "name", "share", "data", "none"]),
            values: [7, "book", 0.5, .bytes([1]), .null]
        )
        #expect(try row.integer("id") == 7 && row.text("name") == "book" && row.bytes("data") == [1])
        #expect(try row.real("share") == 0.5 && row.real("id") == 7)
        #expect(try row.isNull("none") && !row.isNull("id"))
        #expect(row["name"] == "book" && row["other"] == nil)
        #expect(try row.integer(0) == 7 && row.text(1) == "book" && row.bytes(3) == [1])
        #expect(try row.optionalText(4) == nil && row.optionalInteger(4) == nil && row.optionalText(1) == "book")
        for read in [
            { _ = try row.integer("name") }, { _ = try row.text("none") }, { _ = try row.bytes("id") },
            { _ = try row.real("name") }, { _ = try row.integer("other") }, { _ = try row.integer(9) },
            { _ = try row.text(-1) },
        ] as [() throws -> Void] {
            let error = #expect(throws: DatabaseError.self) { try read() }
            #expect(error?.code == .undecodableRow)
        }
        let error = #expect(throws: DatabaseError.self) { try row.integer("name") }
        #expect(error?.message.contains("'name' was read as a whole number, but has text") == true)
    }

    @Test("Chunks cover a range without gap, in few lengths", arguments: [0, 1, 7, 8, 9, 63, 64, 65, 200, 1000])
    func chunks(_ count: Int) {
        let chunks = Array(SQLChunks(5..<(5 + count)))
        #expect(chunks.flatMap { Array($0) } == Array(5..<(5 + count)))
        #expect(Set(chunks.map(\.count)).isSubset(of: [1, 8, 64]))
    }

    @Test("Lists cover all rows, in few lengths", arguments: [0, 1, 2, 8, 9, 64, 65, 512, 513, 1200])
    func lists(_ count: Int) {
        let ids = (0..<count).map { Int64($0 * 3) }
        let statements = SQL.conditions("id", are: ids).map { $0.statement(for: .sqlite) }
        #expect(Set(statements.flatMap(\.parameters)) == Set(ids.map(\.sqlValue)))
        #expect(Set(statements.map(\.parameters.count)).isSubset(of: [1, 8, 64, 512]))
        #expect(statements.allSatisfy { $0.text.hasPrefix("id IN (?1") })
        // What follows each other is a range, of these numbers and no others.
        let row = (0..<count).map { Int64($0) + 5 }
        let ranges = SQL.conditions("id", are: row).map { $0.statement(for: .sqlite) }
        if count > 1 { #expect(ranges == [SQLStatement("id BETWEEN ?1 AND ?2", [5, .integer(Int64(count) + 4)])]) }
        #expect(SQL.conditions("id", are: [1, 2, 4]).map { $0.statement(for: .sqlite).text.prefix(5) } == ["id IN"])
        #expect(SQL.conditions("id", are: [3, 2, 1]).map { $0.statement(for: .sqlite).text.prefix(5) } == ["id IN"])
        #expect(SQL.conditions("id", are: [.max, .min]).count == 1)
    }

    @Test(
        "A prefix is a name, or is refused by name",
        arguments: ["", "1a", "a-b", "a\"; DROP", "é", "a b", String(repeating: "a", count: 41)])
    func prefixes(_ prefix: String) async throws {
        let database = SQLDatabase(
            ScriptedPool(connection: ScriptedConnection()), settings: SQLSettings(prefix: prefix))
        let error = await #expect(throws: DatabaseError.self) { try await database.open() }
        #expect(error?.code == .unsupported)
        for good in ["a", "_", "dovetail_", "A9_z", String(repeating: "a", count: 40)] {
            try SQLTables(prefix: good).validate()
        }
    }

    @Test("Times and spans in microseconds neither lose what counts nor overflow")
    func microseconds() {
        #expect(Duration.nanoseconds(1).microseconds == 1)
        #expect(Duration.milliseconds(1).microseconds == 1000)
        #expect(Duration.seconds(-1).microseconds == -1_000_000)
        #expect(Duration.seconds(Int64.max).microseconds == 1 << 62)
        #expect(Duration.seconds(Int64.min).microseconds == -(1 << 62))
        #expect(Int64.max.adding(.seconds(1)) == .max && Int64.min.adding(.seconds(-1)) == .min)
        #expect((1_000_000 as Int64).adding(.seconds(1)) == 2_000_000)
        for microseconds in [0, 1, -1, 1_700_000_000_123_456, -62_135_596_800_000_000] as [Int64] {
            #expect(Timestamp(microsecondsSinceEpoch: microseconds).microsecondsSinceEpoch == microseconds)
        }
        // The time of the database plus the longest span still fits into what SQL calls a whole number.
        #expect(!Timestamp.latest.microsecondsSinceEpoch.addingReportingOverflow(1 << 62).overflow)
    }
}
