// SPDX-License-Identifier: Apache-2.0

#if PostgreSQL
    import Dovetail
    import DovetailTesting
    import Testing

    @testable import DovetailPostgreSQL
    @testable import DovetailSQL

    /// What a relay reads from: how it is made, lost and taken back.
    @Suite(
        .serialized, .timeLimit(.minutes(10)), .disabled(if: Server.isMissing && !Server.isRequired, Server.whyMissing))
    struct PostgresLogSlotTests {
        @Test("Before a relay was prepared nothing can be written to the log, where it would be lost") func unprepared()
            async throws
        {
            try await withLog(isPrepared: false) { shop in
                let error = await #expect(throws: DatabaseError.self) { try await shop.publish(["1"]) }
                #expect(error?.code == .unsupported && error?.message.contains("prepare()") == true)
            }
        }

        @Test("A slot that is gone ends the relay by name; told to, it goes on with what is written from then on")
        func lostSlot() async throws {
            try await withLog { shop in
                try await shop.publish(["1"])
                try await shop.dropSlot()
                let error = await shop.failure()
                #expect(error?.code == .logLost && error?.message.contains("acceptingLoss") == true)
                try await shop.relay.prepare(acceptingLoss: true)
                try await shop.publish(["2"])
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(shop.sink.ids == ["2"])
            }
        }

        @Test("A slot that is dropped while the relay reads it ends the relay by name, and not in silence")
        func lostWhileReading() async throws {
            try await withLog { shop in
                let ended = Task { await shop.failure() }
                try await shop.publish(["1"])
                try await untilTrue { !shop.sink.ids.isEmpty }
                // Whoever reads it is quick to come back, so this is tried until it is quicker.
                try await untilTrue {
                    try await shop.cutOffReader()
                    return (try? await shop.dropSlot()) != nil
                }
                #expect(await ended.value?.code == .logLost)
            }
        }

        @Test("Without its publication the log cannot be read, which is said by name")
        func lostPublication() async throws {
            try await withLog { shop in
                try await shop.publish(["1"])
                try await shop.ask("DROP PUBLICATION \"\(raw: shop.relay.slot)\"")
                // What nobody can read from now on.
                let rows = shop.relay.database.table("rows", of: Int.self)
                try await shop.relay.database.withTransaction { tx in try await rows.put(1, at: "a", in: tx) }
                let error = await shop.failure()
                #expect(error?.code == .logLost && error?.message.contains("publication") == true)
                try await shop.relay.prepare(acceptingLoss: true)
                try await shop.publish(["2"])
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(shop.sink.ids == ["2"])
            }
        }

        @Test("A slot that somebody made beforehand is used")
        func madeBeforehand() async throws {
            try await withLog(isPrepared: false) { shop in
                try await shop.relay.database.open()
                try await shop.ask("SELECT pg_create_logical_replication_slot(\(shop.relay.slot), 'pgoutput')")
                // Written before there is a publication to read it by.
                let rows = shop.relay.database.table("rows", of: Int.self)
                try await shop.relay.database.withTransaction { tx in try await rows.put(1, at: "a", in: tx) }
                try await shop.relay.prepare()
                try await shop.publish(["1"])
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(shop.sink.ids == ["1"])
            }
        }

        @Test("A slot that somebody made beforehand is used from where no transaction is older than its publication")
        func madeBeforehandBesideAnOlderTransaction() async throws {
            try await withLog(isPrepared: false) { shop in
                let database = shop.relay.database
                try await database.open()
                try await shop.ask("SELECT pg_create_logical_replication_slot(\(shop.relay.slot), 'pgoutput')")
                let rows = database.table("rows", of: Int.self)
                let (hasWritten, mayCommit) = (WakeUp(), WakeUp())
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask {
                        try await database.withTransaction(isolation: .readCommitted) { tx in
                            try await rows.put(1, at: "a", in: tx)
                            _ = try await tx.query("SELECT 1")
                            hasWritten.notify()
                            try await mayCommit.wait()
                        }
                    }
                    try await hasWritten.wait()
                    group.addTask { try await shop.relay.prepare() }
                    let publication: SQL = "SELECT 1 FROM pg_publication WHERE pubname = \(shop.relay.slot)"
                    while try await shop.ask(publication).isEmpty {
                        try await SystemTime().sleep(for: .milliseconds(10))
                    }
                    // Long enough for one who does not wait to go on.
                    try await SystemTime().sleep(for: .milliseconds(300))
                    mayCommit.notify()
                    try await group.waitForAll()
                }
                try await shop.publish(["1"])
                try await shop.run { !shop.sink.ids.isEmpty }
                #expect(shop.sink.ids == ["1"])
            }
        }

        @Test("A slot of somebody else's is refused by name and left alone, whatever is asked for")
        func foreignSlot() async throws {
            try await withLog(isPrepared: false) { shop in
                let slot = shop.relay.slot
                try await shop.ask("SELECT pg_create_physical_replication_slot(\(slot))")
                for operation in [
                    { try await shop.relay.prepare() }, { try await shop.relay.prepare(acceptingLoss: true) },
                    { try await shop.relay.remove() },
                ] as [() async throws -> Void] {
                    let error = await #expect(throws: DatabaseError.self) { try await operation() }
                    #expect(error?.code == .foreignSchema && error?.message.contains("'slot'") == true)
                }
                let left = try await shop.ask("SELECT 1 FROM pg_replication_slots WHERE slot_name = \(slot)").count
                #expect(left == 1)
                try await shop.dropSlot()
            }
        }

        @Test(
            "A name that no slot can have is refused",
            arguments: ["", "Upper", "a-b", "a\"b", String(repeating: "a", count: 64)])
        func wrongName(_ name: String) async throws {
            try await withDatabase { database in
                let relay = PostgresLogRelay(from: database, to: Sink(), slot: name)
                let error = await #expect(throws: DatabaseError.self) { try await relay.prepare() }
                #expect(error?.code == .unsupported && error?.message.contains("small letters") == true)
            }
        }

        @Test(
            "What was prepared is taken back: a relay that runs ends by name and makes nothing anew, and nothing can be written"
        )
        func takenBack() async throws {
            try await withLog { shop in
                let ended = Task { await shop.failure() }
                try await shop.publish(["1"])
                try await untilTrue { !shop.sink.ids.isEmpty }
                try await shop.relay.remove()
                #expect(await ended.value?.code == .closed)
                let slot = shop.relay.slot
                let left = try await shop.ask(
                    """
                    SELECT slot_name FROM pg_replication_slots WHERE slot_name = \(slot)
                    UNION ALL SELECT pubname FROM pg_publication WHERE pubname = \(slot)
                    """)
                #expect(left.isEmpty)
                try await shop.relay.remove()
                let later = LogShop(prefix: shop.prefix)
                let error = await #expect(throws: DatabaseError.self) { try await later.publish(["2"]) }
                #expect(error?.code == .unsupported)
                // And it can begin anew.
                try await shop.relay.prepare()
                try await later.publish(["3"])
                try await shop.run { shop.sink.ids.count == 2 }
                #expect(shop.sink.ids == ["1", "3"])
                await later.database.close()
            }
        }

        @Test("A user who may not replicate is told so")
        func noRightToReplicate() async throws {
            let address = try #require(Server.address)
            try await withLog(isPrepared: false) { shop in
                let role = shop.prefix + "role"
                try await shop.ask("CREATE ROLE \(raw: role) LOGIN")
                let result: Result<Void, any Error>
                do {
                    for object in ["SCHEMA public", "DATABASE dovetail"] {
                        try await shop.ask("GRANT CREATE ON \(raw: object) TO \(raw: role)")
                    }
                    let own = LogShop(
                        address.replacing("dovetail@", with: "\(role)@"), prefix: shop.prefix + "own_")
                    let error = await #expect(throws: DatabaseError.self) { try await own.relay.prepare() }
                    #expect(error?.code == .cannotOpen && error?.message.contains("replication") == true)
                    await own.close()
                    result = .success(())
                } catch {
                    result = .failure(error)
                }
                try await shop.ask("DROP OWNED BY \(raw: role) CASCADE")
                try await shop.ask("DROP ROLE \(raw: role)")
                try result.get()
            }
        }
    }
#endif
