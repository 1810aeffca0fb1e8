// SPDX-License-Identifier: Apache-2.0

import Dovetail
import ExampleSupport
import Foundation
import Testing

@testable import OrderCheckout

/// What OrderCheckout makes of the lines of a file, and of a file that it cannot read.
@Suite(.timeLimit(.minutes(10))) struct OrderCheckoutIntakeTests {
    /// What becomes of each line: the identifier of its order, or why there is none.
    private static func ends(of text: String) async throws -> [String] {
        try await withFile(of: text.utf8) { path in
            var file = try OrderFile(path: path)
            var ends: [String] = []
            while let line = try file.next() {
                switch line {
                case .order(let order, _, _): ends.append(order.orderID)
                case .unreadable(_, _, let reason): ends.append(reason)
                }
            }
            return ends
        }
    }

    private static func json(_ id: String, placedAt: String = "2026-01-01") -> String {
        #"{"orderID":"\#(id)","customerID":"c","sku":"tea","quantity":1,"cents":300,"placedAt":"\#(placedAt)"}"#
    }

    // MARK: Headers

    @Test(
        "A header that does not fit says why, and so does each line below it",
        arguments: [
            ("orderId,customerID,sku,quantity,cents,placedAt", "the header lacks 'orderID'"),
            (
                "orderID,sku,quantity,cents,cents,placedAt",
                "the header lacks 'customerID' and has more than one 'cents'"
            ),
            ("a-0,c-1,quantity,cents,placedAt", "the header lacks 'orderID', 'customerID' and 'sku'"),
            ("\"orderID,customerID,sku,quantity,cents,placedAt", "a quoted field does not end on its line"),
        ])
    func badHeaders(header: String, reason: String) async throws {
        let ends = try await Self.ends(
            of: "\(header)\na-1,c-1,tea,1,500,2026-01-01\na-2,c-1,tea,1,500,2026-01-01\n")
        #expect(ends == [reason, reason, reason])
    }

    @Test("Columns that are none of an order's may have no name, or the same")
    func moreColumns() async throws {
        let ends = try await Self.ends(
            of: """
                orderID,note,customerID,sku,quantity,cents,placedAt,note,,
                a-1,x,c-1,tea,1,500,2026-01-01,y,,
                a-2,x,c-1,tea,1,500,2026-01-01
                """)
        #expect(ends == ["a-1", "the line has 7 fields, the header has 10"])
    }

    @Test("Below a first line that is no header, objects are read all the same")
    func objectsBelow() async throws {
        let ends = try await Self.ends(of: "orders, as of today\n\(Self.json("1"))\n")
        #expect(ends.count == 2 && ends.last == "1")
    }

    // MARK: Lines

    @Test("What a database may refuse, or a terminal obey, is refused with its line")
    func texts() async throws {
        let long = String(repeating: "a", count: 201)
        let ends = try await Self.ends(
            of: [
                Self.json(#"a\u0000b"#), Self.json(#"a\u001b[2J"#), Self.json(#"a\nb"#), Self.json(#"a\u0085b"#),
                Self.json(long), Self.json("1", placedAt: #"\u001b[2J"#), Self.json(String(long.dropLast())),
            ].joined(separator: "\n"))
        let control = "the field 'orderID' has control characters in it"
        #expect(
            ends == [
                control, control, control, control, "the field 'orderID' is longer than 200 bytes",
                "the field 'placedAt' has control characters in it", String(long.dropLast()),
            ])
    }

    @Test("A line that is too long is told of, also if it is cut by less than is read at once")
    func longLines() async throws {
        let most = LineReader.mostBytes
        let line = Array(repeating: UInt8(ascii: "a"), count: most + 100) + [UInt8(ascii: "\n")]
        try await withFile(of: line + line.dropFirst(100)) { path in
            var reader = try LineReader(path: path)
            let first = try reader.next()
            #expect(first?.isComplete == false && first?.bytes.count == most)
            let second = try reader.next()
            #expect(second?.isComplete == true && second?.bytes.count == most)
        }
    }

    @Test("The line of an order that was seen before is kept as it was")
    func repeated() async throws {
        let again = Self.json("1").replacingOccurrences(of: ",", with: " , ")
        let database = InMemoryDatabase()
        try await withFile(of: "\(Self.json("1"))\n\(again)\n".utf8) { path in
            let shop = try Shop<InMemoryDatabase, InMemoryTransport>.inMemory(database)
            let intake = try shop.desk.intake { _ in }
            let taken = try await intake.run(
                try OrderFile(path: path), from: IntakePosition(file: path, seed: 1, line: 0, accepted: 0))
            #expect(taken.accepted == 1)
        }
        let kept = try await database.table("rejected-lines", of: RejectedLine.self).all().map(\.row)
        #expect(kept.map { String(decoding: $0.bytes, as: UTF8.self) } == [again])
        #expect(kept.map(\.line) == [2])
    }

    // MARK: Files

    @Test("A file that cannot be read is told of as one on virtual time too")
    func folder() async throws {
        let options = try Options(CommandLineReader(["--workers", "1"]))
        let folder = FileManager.default.temporaryDirectory.path
        await #expect(throws: OrderFile.Missing.self) {
            _ = try await InMemory(options).run(
                OpenFile(try OrderFile(path: folder)), bookkeeper: Bookkeeper(), onProgress: { _, _ in })
        }
    }

    @Test("Whoever waits for lines that do not come can be cancelled")
    func silence() async throws {
        var ends: [Int32] = [-1, -1]
        let opened = pipe(&ends)
        try #require(opened == 0)
        let path = "/dev/fd/\(ends[0])"
        defer { for end in ends { close(end) } }
        await #expect(throws: CancellationError.self) {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    var file = try OrderFile(path: path)
                    _ = try file.next()
                }
                group.cancelAll()
                try await group.waitForAll()
            }
        }
    }
}
