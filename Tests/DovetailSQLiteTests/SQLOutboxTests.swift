// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    import DovetailOutbox
    import DovetailSQLite
    import DovetailTesting
    import Testing

    /// What the outbox does with lanes that cannot simply go on, beyond what every store is checked for.
    @Suite(.timeLimit(.minutes(10)))
    struct SQLOutboxTests {
        private let folder: TemporaryFolder
        private let time = ManualTime()
        private let database: SQLiteDatabase
        private var store: SQLOutboxStore<SQLiteConnectionPool> { database.outboxStore }

        init() throws {
            folder = try TemporaryFolder()
            database = folder.database(
                SQLiteConfiguration(synchronous: .normal), settings: SQLSettings(runtime: Runtime(time: time))
            )
        }

        private func append(_ envelopes: [Envelope<Bytes>]) async throws {
            try await database.withTransaction { tx in
                try await store.append(envelopes, serializing: false, in: tx)
            }
        }

        private func append(_ names: String..., key: PartitionKey?) async throws {
            try await append(names.map { message($0, key: key) })
        }

        private func names(_ claim: OutboxClaim) -> [String] { claim.rows.map(\.envelope.attributes.id.rawValue) }

        private func claim(_ limit: Int = 100, lease: Duration = .seconds(10)) async throws -> OutboxClaim {
            try await store.claim(limit: limit, lease: lease)
        }

        @Test("A released row comes back behind the failed one before it")
        func releasedComesBackInItsPlace() async throws {
            try await append("1", "2", "3", "4", key: "a")
            let first = try await claim(3)
            try await store.fail(
                [OutboxFailure(id: first.rows[0].id, retryAfter: .seconds(1), reason: "no")], token: first.token)
            // While it waits, what follows is met among the ready rows and moved behind it.
            #expect(try await claim().rows.isEmpty)
            try await store.release(first.rows.dropFirst().map(\.id), token: first.token)
            time.advance(by: .seconds(1))
            #expect(try await names(claim()) == ["1", "2", "3", "4"])
        }

        @Test("What an expired claim held comes back in its place, before what was behind it")
        func expiredComesBackInItsPlace() async throws {
            try await append("1", "2", key: "a")
            let first = try await claim(1)
            #expect(names(first) == ["1"])
            try await append((3...900).map { message("\($0)", key: "a") })
            // Long enough in the way of others that the rows behind are moved aside.
            time.advance(by: .milliseconds(200))
            for _ in 0..<3 { #expect(try await claim(1).rows.isEmpty) }
            time.advance(by: .seconds(10))
            var seen: [String] = []
            while seen.count < 900 {
                let next = try await claim(64)
                try #require(!next.rows.isEmpty)
                seen += names(next)
                try await store.complete(next.rows.map(\.id), token: next.token)
            }
            #expect(seen == (1...900).map(String.init))
        }

        @Test("A long lane that another claim holds does not hold up those behind it, and keeps its order")
        func longLaneIsMovedAside() async throws {
            try await append((1...3000).map { message("\($0)", key: "a") })
            try await append("b1", key: "b")
            try await append("x1", key: nil)
            let first = try await claim(10, lease: .seconds(100))
            #expect(names(first) == (1...10).map(String.init))
            // A claim that will be settled in a moment is waited for.
            let second = try await claim(10)
            #expect(second.rows.isEmpty && second.nextDue == .milliseconds(100))
            time.advance(by: .milliseconds(100))
            var others: [String] = []
            for _ in 0..<20 where others.count < 2 {
                let next = try await claim(10)
                #expect(next.nextDue == .zero || !next.rows.isEmpty)
                others += names(next)
            }
            #expect(others.sorted() == ["b1", "x1"])
            try await store.complete(first.rows.map(\.id), token: first.token)
            var seen: [String] = []
            while seen.count < 2990 {
                let next = try await claim(500)
                try #require(!next.rows.isEmpty)
                seen += names(next)
                try await store.complete(next.rows.map(\.id), token: next.token)
            }
            #expect(seen == (11...3000).map(String.init))
            let left = try await database.withReadTransaction { tx in
                try await tx.query("SELECT COUNT(*) FROM dovetail_outbox_lanes")[0].integer(0)
            }
            #expect(left == 0)
        }

        @Test("Claims of one row serve lanes that wait for a retry and new rows in turn")
        func oneRowAtATime() async throws {
            try await append("a1", key: "a")
            let first = try await claim()
            try await store.fail(
                [OutboxFailure(id: first.rows[0].id, retryAfter: .zero, reason: "no")], token: first.token)
            try await append((1...6).map { message("x\($0)") })
            var seen: [String] = []
            for _ in 0..<3 { seen += try await names(claim(1)) }
            #expect(seen.contains("a1") && seen.contains { $0.hasPrefix("x") })
        }

        @Test("A poll that finds nothing writes nothing")
        func idlePollWritesNothing() async throws {
            try await append("1", key: "a")
            let first = try await claim()
            try await store.fail(
                [OutboxFailure(id: first.rows[0].id, retryAfter: .seconds(5), reason: "no")], token: first.token)
            func version() async throws -> Int64 {
                try await database.withReadTransaction { tx in try await tx.query("PRAGMA data_version")[0].integer(0) }
            }
            let before = try await version()
            for _ in 0..<5 { #expect(try await claim().nextDue == .seconds(5)) }
            #expect(try await version() == before)
        }

        // MARK: Any order of events

        private struct Row: Hashable {
            let lane: String
            let number: Int
            var name: String { "\(lane)-\(number)" }
            var envelope: Envelope<Bytes> { message(name, key: lane == "-" ? nil : PartitionKey(lane)) }

            init(_ lane: String, _ number: Int) {
                (self.lane, self.number) = (lane, number)
            }

            init(_ row: OutboxRow) {
                let parts = row.envelope.attributes.id.rawValue.split(separator: "-", omittingEmptySubsequences: false)
                self.init(parts.count == 2 ? String(parts[0]) : "-", Int(parts[parts.count - 1]) ?? 0)
            }
        }

        @Test(
            "Whatever happens in whatever order, lanes keep theirs and nothing is lost",
            arguments: 1...12 as ClosedRange<UInt64>)
        func anyOrder(_ seed: UInt64) async throws {
            var random = SplitMix(seed)
            let lanes = ["a", "b", "c", "-"]
            var counts: [String: Int] = [:]
            /// What is in the outbox, by lane in order.
            var open: [String: [Int]] = [:]
            var due: [String: Timestamp] = [:]
            var live: [(token: FencingToken, expiry: Timestamp, rows: [OutboxRow])] = []
            var gone: Set<Row> = []
            for _ in 0..<150 {
                live.removeAll { $0.rows.isEmpty || $0.expiry <= time.now() }
                switch random.below(8) {
                case 0, 1:
                    let added = (0..<(1 + random.below(6))).map { _ -> Row in
                        let lane = lanes[random.below(lanes.count)]
                        counts[lane, default: 0] += 1
                        open[lane, default: []].append(counts[lane] ?? 0)
                        return Row(lane, counts[lane] ?? 0)
                    }
                    try await append(added.map(\.envelope))
                case 2, 3, 4:
                    let claim = try await claim(1 + random.below(8), lease: .seconds(20))
                    for (lane, rows) in Dictionary(grouping: claim.rows.map(Row.init), by: \.lane) {
                        let held = live.flatMap(\.rows).map(Row.init)
                        #expect(Set(rows).isDisjoint(with: held))
                        guard lane != "-" else { continue }
                        #expect(!held.contains { $0.lane == lane }, "\(lane) is held by another claim")
                        #expect(rows.map(\.number) == Array((open[lane] ?? []).prefix(rows.count)), "\(lane)")
                        #expect((due[lane] ?? .earliest) <= time.now(), "\(lane) is not due")
                    }
                    live.append((claim.token, claim.expiry, claim.rows))
                case 5, 6:
                    guard !live.isEmpty else { continue }
                    let index = random.below(live.count)
                    let settled = Array(live[index].rows.prefix(1 + random.below(4)))
                    live[index].rows.removeFirst(settled.count)
                    let (ids, token) = (settled.map(\.id), live[index].token)
                    switch random.below(4) {
                    case 0:
                        let delay = Duration.seconds(random.below(10))
                        try await store.fail(
                            ids.map { OutboxFailure(id: $0, retryAfter: delay, reason: "no") }, token: token)
                        for row in settled.map(Row.init) {
                            due[row.lane] = max(due[row.lane] ?? .earliest, time.now() + delay)
                        }
                        // What follows in the lane cannot be published before.
                        let lanes = Set(settled.map { Row($0).lane }).subtracting(["-"])
                        let behind = live[index].rows.filter { lanes.contains(Row($0).lane) }
                        live[index].rows.removeAll { lanes.contains(Row($0).lane) }
                        try await store.release(behind.map(\.id), token: token)
                    case 1:
                        // From the end, so that what is before goes on being held for a moment.
                        live[index].rows = settled + live[index].rows
                        let all = live[index].rows
                        live[index].rows = []
                        try await store.release(Array(all.reversed().map(\.id)), token: token)
                    case 2:
                        try await store.park(ids, token: token)
                        remove(settled, &open, &gone)
                    default:
                        try await store.complete(ids, token: token)
                        remove(settled, &open, &gone)
                    }
                default:
                    time.advance(by: .milliseconds(random.below(9000)))
                }
            }
            // In the end all comes out, once.
            time.advance(by: .seconds(100))
            let total = counts.values.reduce(0, +)
            for _ in 0..<500 where gone.count < total {
                let claim = try await claim(5)
                for (lane, rows) in Dictionary(grouping: claim.rows.map(Row.init), by: \.lane) where lane != "-" {
                    #expect(rows.map(\.number) == Array((open[lane] ?? []).prefix(rows.count)), "\(lane)")
                }
                try await store.complete(claim.rows.map(\.id), token: claim.token)
                remove(claim.rows, &open, &gone)
            }
            #expect(gone.count == total)
            #expect(try await store.statistics().unsent == 0)
            #expect(try await claim().rows.isEmpty)
        }

        private func remove(_ rows: [OutboxRow], _ open: inout [String: [Int]], _ gone: inout Set<Row>) {
            for row in rows.map(Row.init) {
                #expect(gone.insert(row).inserted, "\(row.name) came out twice")
                open[row.lane]?.removeAll { $0 == row.number }
            }
        }
    }

    /// Numbers that are the same for the same seed.
    private struct SplitMix {
        private var state: UInt64

        init(_ seed: UInt64) {
            state = seed
        }

        mutating func below(_ bound: Int) -> Int {
            state &+= 0x9e37_79b9_7f4a_7c15
            var mixed = state
            mixed = (mixed ^ mixed >> 30) &* 0xbf58_476d_1ce4_e5b9
            mixed = (mixed ^ mixed >> 27) &* 0x94d0_49bb_1331_11eb
            return Int((mixed ^ mixed >> 31) % UInt64(bound))
        }
    }
#endif
