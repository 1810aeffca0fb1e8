// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    import DovetailTesting
    import Foundation
    import SQLTestSupport
    import Synchronization
    import Testing

    @testable import DovetailSQL
    @testable import DovetailSQLite

    /// Decides what is spoilt of what statements return.
    private final class Spoiler: Sendable {
        enum Harm: CaseIterable {
            case null, least, most, negative, zero, emptyText, oddText, noBytes, oddBytes, notANumber, hugeNumber
            case noRow, noColumn
        }

        private struct State {
            var isArmed = false
            var seen = 0
            var target: (place: Int, harm: Harm)?
        }

        private let state = Mutex(State())

        /// How many values statements returned since it was armed.
        var seen: Int { state.withLock(\.seen) }

        /// Spoils the value at one place from here on; none if there is no such place.
        func arm(_ place: Int, _ harm: Harm) {
            state.withLock { $0 = State(isArmed: true, target: (place, harm)) }
        }

        func pass(_ result: SQLResult) -> SQLResult {
            state.withLock { state in
                guard state.isArmed else { return result }
                var result = result
                for (number, row) in result.rows.enumerated() {
                    let start = state.seen
                    state.seen += row.values.count
                    guard let target = state.target, (start..<state.seen).contains(target.place) else { continue }
                    if case .noRow = target.harm {
                        result.rows.remove(at: number)
                    } else {
                        result.rows[number] = Self.spoil(row, at: target.place - start, target.harm)
                    }
                    state.target = nil
                    break
                }
                return result
            }
        }

        private static func spoil(_ row: SQLRow, at column: Int, _ harm: Harm) -> SQLRow {
            var values = row.values
            switch harm {
            case .null: values[column] = .null
            case .least: values[column] = .integer(.min)
            case .most: values[column] = .integer(.max)
            case .negative: values[column] = .integer(-1)
            case .zero: values[column] = .integer(0)
            case .emptyText: values[column] = .text("")
            case .oddText: values[column] = .text("\u{0}\u{1F1E9}1e999[{\"")
            case .noBytes: values[column] = .bytes([])
            case .oddBytes: values[column] = .bytes([0xFF, 0, 0xC0])
            case .notANumber: values[column] = .real(.nan)
            case .hugeNumber: values[column] = .real(1e300)
            case .noRow, .noColumn: values.removeSubrange(column...)
            }
            return SQLRow(columns: row.columns, values: values)
        }
    }

    /// Whatever stands in a row of any table, and whatever is missing of it, is an error or is taken as it is; nothing traps, and
    /// the database goes on.
    @Suite(.timeLimit(.minutes(600)))
    struct SQLiteRowFuzzTests {
        private let folder: TemporaryFolder
        /// `DOVETAIL_FUZZ_SECONDS` has every value spoilt in every way, one at a time, from the number `DOVETAIL_FUZZ_FIRST` on.
        private let triesAll = ProcessInfo.processInfo.environment["DOVETAIL_FUZZ_SECONDS"] != nil

        init() throws {
            folder = try TemporaryFolder()
        }

        /// Runs every verb of every store, with one value spoilt.
        ///
        /// - Returns: How many values were read, and what came of it.
        private func run(_ place: Int, _ harm: Spoiler.Harm) async throws -> (seen: Int, error: (any Error)?) {
            let path = folder.file(UUID().uuidString)
            try FileManager.default.copyItem(atPath: folder.file("empty.db"), toPath: path)
            let file = SQLiteDatabase(path, configuration: SQLiteConfiguration(synchronous: .normal))
            let spoiler = Spoiler()
            let database = SQLDatabase(ObservedPool(file.pool) { _, outcome in outcome.map(spoiler.pass) })
            try await database.open()
            spoiler.arm(place, harm)
            var failure: (any Error)?
            do {
                try await EveryVerb.run(on: database)
                try await Self.exerciseBus(database)
            } catch {
                failure = error
            }
            let seen = spoiler.seen
            // What was in hand is given up, and the next transaction works.
            try await database.withTransaction { tx in
                try await database.table("after", of: Int.self).put(1, at: "1", in: tx)
            }
            await file.close()
            try FileManager.default.removeItem(atPath: path)
            return (seen, failure)
        }

        private static func exerciseBus(_ database: SQLDatabase<some SQLConnectionPool>) async throws {
            let bus = SQLTransport(in: database)
            let member = try await bus.subscribe(to: ["orders"], as: "payments")
            let messages = (["a", "a", nil] as [PartitionKey?]).map { key in
                var envelope = message("1", key: key)
                envelope.attributes.topic = "orders"
                return envelope
            }
            let results = try await bus.publish(messages)
            if let error = results.lazy.compactMap(\.error).first { throw error }
            let taken = try await member.claim(atMost: 2).deliveries
            try await member.settle(
                taken.enumerated().map { Settlement($1.id, $0 == 0 ? .acknowledge : .retry(after: .zero)) })
            _ = try await member.claim(atMost: 2)
            _ = try await bus.backlog(of: "payments", on: ["orders"])
            _ = try await bus.backlog(of: "others", on: ["orders"])
            _ = try await bus.sweep(olderThan: .zero, limit: 10)
            await member.close()
        }

        @Test("Any value in any row")
        func anyValue() async throws {
            let empty = SQLiteDatabase(folder.file("empty.db"))
            try await empty.open()
            await empty.close()
            let (count, error) = try await run(.max, .null)
            #expect(error == nil)
            #expect(count > 300)
            var refused = 0
            let first = ProcessInfo.processInfo.environment["DOVETAIL_FUZZ_FIRST"].flatMap { Int($0) } ?? 0
            let tries = triesAll ? count * Spoiler.Harm.allCases.count : 150
            for number in first * Spoiler.Harm.allCases.count..<tries {
                // Otherwise in leaps, so that all kinds of rows are met.
                let place = triesAll ? number / Spoiler.Harm.allCases.count : number * 7919 % count
                let harm = Spoiler.Harm.allCases[number % Spoiler.Harm.allCases.count]
                // One that ends the process is the last one that was told.
                if triesAll { print("value \(place), \(harm)") }
                let (_, error) = try await run(place, harm)
                switch error {
                case nil: break
                case is DatabaseError, is TransportError: refused += 1
                case let error?: Issue.record("Value \(place), \(harm): \(error)")
                }
            }
            #expect(first > 0 || refused > tries / 10)
        }
    }
#endif
