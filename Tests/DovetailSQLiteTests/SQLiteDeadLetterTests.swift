// SPDX-License-Identifier: Apache-2.0

#if SQLite
    import DovetailCore
    import DovetailDeadLetters
    import DovetailSQLite
    import DovetailTesting
    import Foundation
    import Testing

    private func letter(_ number: Int, content: Delivery.Content? = nil) -> DeadLetter {
        DeadLetter(
            id: "letter \(number)",
            content: content ?? .envelope(message("message \(number)", key: PartitionKey("\(number % 50)"))),
            topic: "t", position: "\(number)", consumer: "c", attempts: 1, reason: number % 2 == 0 ? .poison : .expired,
            failure: FailureDetail(type: "E", place: number % 3 == 0 ? "a" : "", message: "m \(number)"),
            time: Timestamp(secondsSinceEpoch: 1_700_000_000 + Int64(number)))
    }

    @Suite(.timeLimit(.minutes(10)))
    struct SQLiteDeadLetterTests {
        /// Takes back what version 2 of the tables has added.
        private func makeOld(_ database: SQLiteDatabase) async throws {
            try await database.withTransaction { tx in
                for column in [
                    "queue", "reason", "fingerprint", "message_type", "consumer", "tenant", "message_id", "given_up_us",
                ] {
                    try await tx.execute("DROP INDEX dovetail_dead_letters_\(raw: column)")
                }
                for column in [
                    "queue", "tier", "tenant", "message_id", "message_type", "fingerprint", "failure_place",
                    "given_up_us",
                ] {
                    try await tx.execute("ALTER TABLE dovetail_dead_letters DROP COLUMN \(raw: column)")
                }
                for table in [
                    "dead_letter_groups", "dead_letter_records", "sagas", "saga_waits", "saga_messages", "saga_history",
                ] {
                    try await tx.execute("DROP TABLE dovetail_\(raw: table)")
                }
                try await tx.execute("UPDATE dovetail_schema SET version = 1")
            }
            await database.close()
        }

        @Test("Letters of the first version of the tables can be searched, counted and removed in this one")
        func oldTablesAreBroughtUpToDate() async throws {
            let folder = try TemporaryFolder()
            let path = folder.file()
            let old = SQLiteDatabase(path)
            let bytes = Delivery.Content.undecodable([1], headers: ["a": "b"], MessageError(.invalidCloudEvent, "No."))
            // More than are brought up to date at once.
            try await DeadLetterQueue(in: old).capture((0..<450).map { letter($0) } + [letter(450, content: bytes)])
            try await makeOld(old)
            let database = SQLiteDatabase(path)
            let letters = DeadLetterQueue(in: database)
            #expect(try await letters.count() == 451)
            #expect(try await letters.count(DeadLetterFilter(reason: .expired)) == 225)
            #expect(try await letters.find(DeadLetterFilter(messages: ["message 7"])).map(\.id) == ["letter 7"])
            let late = DeadLetterFilter(since: Timestamp(secondsSinceEpoch: 1_700_000_000 + 440))
            #expect(try await letters.count(late) == 11)
            let fingerprint = try #require(try await letters.letter("letter 450")).fingerprint
            #expect(try await letters.find(DeadLetterFilter(fingerprint: fingerprint)).map(\.id) == ["letter 450"])
            #expect(try await letters.discard(.all, note: "") == 451)
            #expect(try await letters.groups().isEmpty)
            await database.close()
        }
    }

    #if os(Linux)
        /// How many letters: with `DOVETAIL_REDRIVE_LETTERS=100000`, a hundred thousand.
        private let letterCount =
            ProcessInfo.processInfo.environment["DOVETAIL_REDRIVE_LETTERS"].flatMap { Int($0) } ?? 1000

        @Suite(.timeLimit(.minutes(60)))
        struct RedriveKillTests {
            /// What the other process does.
            static func redrive(_ path: String) async throws {
                let database = SQLiteDatabase(path)
                let letters = DeadLetterQueue(in: database)
                let redriver = Redriver(letters, to: SQLTransport(in: SQLiteDatabase(path + ".bus")))
                    .looking(every: .milliseconds(20), lease: .milliseconds(300))
                try await redriver.run()
            }

            @Test("A redrive whose process is killed again and again sends every message under its own identity")
            func killed() async throws {
                let folder = try TemporaryFolder()
                let path = folder.file()
                let database = SQLiteDatabase(path)
                let letters = DeadLetterQueue(in: database)
                for start in stride(from: 0, to: letterCount, by: 1000) {
                    try await letters.capture((start..<min(start + 1000, letterCount)).map { letter($0) })
                }
                // Slow enough for some kills, whatever the machine.
                let rate = max(500, letterCount / 6)
                let job = try await letters.redrive(RedriveRequest(lettersPerSecond: rate, batchSize: 50))
                var done = job
                var kills = 0
                while done.state.isActive, kills < 200 {
                    let peer = try Peer("redrive", path)
                    let before = done.redriven
                    // Killed at another moment each time, but never before it has done something.
                    let moment = Duration.milliseconds(20 + (kills * 97) % 400)
                    for _ in 0..<2000 where done.state.isActive && done.redriven == before {
                        try await SystemTime().sleep(for: .milliseconds(10))
                        done = try await letters.redriveJob(job.id)
                    }
                    try await SystemTime().sleep(for: moment)
                    peer.kill()
                    _ = try await peer.end()
                    done = try await letters.redriveJob(job.id)
                    kills += 1
                }
                #expect(done.state == .completed && done.redriven == letterCount)
                #expect(kills > 2)
                #expect(try await letters.count() == 0)
                let bus = SQLiteDatabase(path + ".bus")
                let sent = try await bus.withReadTransaction { tx in
                    try await tx.query("SELECT attributes FROM dovetail_bus_messages").map { try $0.text("attributes") }
                }
                // Repeats are those of the batches that were under way.
                #expect(sent.count <= letterCount + 50 * kills)
                let identities = Set(
                    sent.compactMap { $0.firstMatch(of: #/"id":"(message \d+)"/#).map { String($0.1) } })
                #expect(identities == Set((0..<letterCount).map { "message \($0)" }))
                let records = try await database.withReadTransaction { tx in
                    try await tx.query("SELECT COUNT(*) AS count FROM dovetail_dead_letter_records").first?.integer(
                        "count")
                }
                #expect(records == Int64(letterCount))
            }
        }
    #endif
#endif
